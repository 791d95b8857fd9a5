// Which instruction set the CPU kernels use, decided once for the process.
#pragma once

namespace zeta::cpu {

// Each has all that is before it. kAvx2: AVX2, FMA and F16C. kAvx512: AVX-512 F, BW, DQ and VL.
// kAvx512Bf16: and BF16.
enum class Isa { kScalar, kAvx2, kAvx512, kAvx512Bf16 };

// The best level that this machine has, or the one that ZETA_CPU_ISA names (scalar, avx2, avx512,
// avx512bf16). Throws std::runtime_error when the variable names something unknown or absent. Thread-safe.
Isa isa();

}  // namespace zeta::cpu
