// Which instruction set the CPU kernels use, decided once for the process.
#pragma once

namespace zeta::cpu {

// Each has all that is before it. kAvx2: AVX2, FMA and F16C. kAvx512: AVX-512 F, BW, DQ and VL.
// kAvx512Vnni: and VNNI. kAvx512Bf16: and BF16. kAmx: and AMX TILE and INT8, which the kernel has allowed
// this process to use.
enum class Isa { kScalar, kAvx2, kAvx512, kAvx512Vnni, kAvx512Bf16, kAmx };

// The best level that this machine has, or the one that ZETA_CPU_ISA names (scalar, avx2, avx512,
// avx512vnni, avx512bf16, amx). Throws std::runtime_error when the variable names something unknown or
// absent. Thread-safe.
Isa isa();

}  // namespace zeta::cpu
