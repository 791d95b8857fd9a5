#include "kernels/cpu/isa.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

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
    {Isa::kAvx512Vnni, "avx512vnni", "AVX-512 VNNI"},
    {Isa::kAvx512Bf16, "avx512bf16", "AVX-512 BF16"},
    {Isa::kAmx, "amx", "AMX INT8 that this process may use"},
};

// Clang 16's __builtin_cpu_supports does not know this one.
bool has_f16c() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}

// Tiles are 8 KiB of state that Linux gives a process only when it asks (5.16 and later), for all its
// threads.
bool may_use_amx() {
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM of <asm/prctl.h>
  return ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

bool has_amx() {
  constexpr unsigned kTile = 1u << 24, kInt8 = 1u << 25;
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (edx & kTile) != 0 && (edx & kInt8) != 0;
}

// The best level up to `most`. Leave is asked for AMX only where it may be used: a process that has it saves
// more state at signals.
Isa best(Isa most) {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !has_f16c()) return Isa::kScalar;
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl"))
    return Isa::kAvx2;
  if (!__builtin_cpu_supports("avx512vnni")) return Isa::kAvx512;
  if (!__builtin_cpu_supports("avx512bf16")) return Isa::kAvx512Vnni;
  return most >= Isa::kAmx && has_amx() && may_use_amx() ? Isa::kAmx : Isa::kAvx512Bf16;
}

Isa choose() {
  const char* forced = std::getenv("ZETA_CPU_ISA");
  if (forced == nullptr || *forced == '\0') return best(Isa::kAmx);
  for (const Level& level : kLevels) {
    if (std::string(forced) != level.name) continue;
    if (level.isa > best(level.isa))
      throw std::runtime_error(std::string("ZETA_CPU_ISA=") + forced + ": this CPU has no " + level.needs);
    return level.isa;
  }
  throw std::runtime_error(std::string("ZETA_CPU_ISA=") + forced +
                           ": expected scalar, avx2, avx512, avx512vnni, avx512bf16 or amx");
}

}  // namespace

Isa isa() {
  static const Isa chosen = choose();
  return chosen;
}

}  // namespace zeta::cpu
