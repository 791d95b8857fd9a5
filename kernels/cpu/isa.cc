#include "kernels/cpu/isa.h"

#include <cpuid.h>

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace zeta::cpu {
namespace {

// Clang 16's __builtin_cpu_supports does not know this one.
bool has_f16c() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}

bool has_avx2() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
}

Isa choose() {
  const char* forced = std::getenv("ZETA_CPU_ISA");
  if (forced == nullptr || *forced == '\0') return has_avx2() ? Isa::kAvx2 : Isa::kScalar;
  const std::string name = forced;
  if (name == "scalar") return Isa::kScalar;
  if (name != "avx2") throw std::runtime_error("ZETA_CPU_ISA=" + name + ": expected scalar or avx2");
  if (!has_avx2()) throw std::runtime_error("ZETA_CPU_ISA=avx2: this CPU has no AVX2 with FMA and F16C");
  return Isa::kAvx2;
}

}  // namespace

Isa isa() {
  static const Isa chosen = choose();
  return chosen;
}

}  // namespace zeta::cpu
