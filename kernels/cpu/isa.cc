#include "kernels/cpu/isa.h"

#include <cpuid.h>

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace zeta::cpu {
namespace {

struct Level {
  Isa isa;
  const char* name;
  const char* needs;
};

constexpr Level kLevels[] = {
    {Isa::kScalar, "scalar", "nothing"},
    {Isa::kAvx2, "avx2", "AVX2 with FMA and F16C"},
    {Isa::kAvx512, "avx512", "AVX-512 F, BW, DQ and VL"},
    {Isa::kAvx512Bf16, "avx512bf16", "AVX-512 BF16"},
};

// Clang 16's __builtin_cpu_supports does not know this one.
bool has_f16c() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}

Isa best() {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !has_f16c()) return Isa::kScalar;
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl"))
    return Isa::kAvx2;
  return __builtin_cpu_supports("avx512bf16") ? Isa::kAvx512Bf16 : Isa::kAvx512;
}

Isa choose() {
  const char* forced = std::getenv("ZETA_CPU_ISA");
  if (forced == nullptr || *forced == '\0') return best();
  for (const Level& level : kLevels) {
    if (std::string(forced) != level.name) continue;
    if (level.isa > best())
      throw std::runtime_error(std::string("ZETA_CPU_ISA=") + forced + ": this CPU has no " + level.needs);
    return level.isa;
  }
  throw std::runtime_error(std::string("ZETA_CPU_ISA=") + forced +
                           ": expected scalar, avx2, avx512 or avx512bf16");
}

}  // namespace

Isa isa() {
  static const Isa chosen = choose();
  return chosen;
}

}  // namespace zeta::cpu
