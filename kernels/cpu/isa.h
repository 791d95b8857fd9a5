// Which instruction set the CPU kernels use, decided once for the process.
#pragma once

namespace zeta::cpu {

enum class Isa { kScalar, kAvx2 };  // kAvx2: AVX2, FMA and F16C

// The best level that this machine has, or the one that ZETA_CPU_ISA names (scalar, avx2). Throws
// std::runtime_error when the variable names something unknown or absent. Thread-safe.
Isa isa();

}  // namespace zeta::cpu
