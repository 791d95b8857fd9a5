// wgmma on e4m3: d (64, N) += a (64, 32) · bᵀ (N, 32), float accumulators, of which the tensor cores keep 13
// bits of fraction or more beside the largest term. b and, where it is not in registers, a lie in shared
// memory, rows along the depth. In registers thread t holds of a, with r and r + 8 as in wgmma.cuh: bytes 4 ·
// (t % 4) to + 3 of row r, of row r + 8, then the same from byte 16 on. The rest is wgmma.cuh's.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace zeta::cuda::hopper {

// clang-format off
#define ZETA_FOUR(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define ZETA_SIXTEEN(i) ZETA_FOUR(i), ZETA_FOUR(i + 4), ZETA_FOUR(i + 8), ZETA_FOUR(i + 12)
#define ZETA_D32 ZETA_SIXTEEN(0), ZETA_SIXTEEN(16)
#define ZETA_D48 ZETA_D32, ZETA_SIXTEEN(32)
#define ZETA_D64 ZETA_D48, ZETA_SIXTEEN(48)
#define ZETA_R0 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"
#define ZETA_R1 "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define ZETA_R2 "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47"
#define ZETA_R3 "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define ZETA_R32 ZETA_R0 ", " ZETA_R1
#define ZETA_R48 ZETA_R32 ", " ZETA_R2
#define ZETA_R64 ZETA_R48 ", " ZETA_R3

// R registers of d; A, B, P the numbers of the operands behind them.
#define ZETA_WGMMA_SHARED(N, R, A, B, P)                                                                     \
  __device__ inline void wgmma_e4m3(float (&d)[R], uint64_t a, uint64_t b, bool accumulate) {                \
    asm volatile("{.reg .pred p; setp.ne.b32 p, %" #P ", 0;\n"                                               \
                 "wgmma.mma_async.sync.aligned.m64n" #N "k32.f32.e4m3.e4m3 {" ZETA_R##R "}, "                \
                 "%" #A ", %" #B ", p, 1, 1;}\n"                                                             \
                 : ZETA_D##R : "l"(a), "l"(b), "r"(int{accumulate}));                                        \
  }
#define ZETA_WGMMA_REGISTERS(N, R, A0, A1, A2, A3, B, P)                                                     \
  __device__ inline void wgmma_e4m3(float (&d)[R], const uint32_t (&a)[4], uint64_t b, bool accumulate) {    \
    asm volatile("{.reg .pred p; setp.ne.b32 p, %" #P ", 0;\n"                                               \
                 "wgmma.mma_async.sync.aligned.m64n" #N "k32.f32.e4m3.e4m3 {" ZETA_R##R "}, "                \
                 "{%" #A0 ", %" #A1 ", %" #A2 ", %" #A3 "}, %" #B ", p, 1, 1;}\n"                            \
                 : ZETA_D##R                                                                                 \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(int{accumulate}));                \
  }
ZETA_WGMMA_SHARED(96, 48, 48, 49, 50)
ZETA_WGMMA_SHARED(128, 64, 64, 65, 66)
ZETA_WGMMA_REGISTERS(64, 32, 32, 33, 34, 35, 36, 37)
ZETA_WGMMA_REGISTERS(128, 64, 64, 65, 66, 67, 68, 69)
#undef ZETA_WGMMA_REGISTERS
#undef ZETA_WGMMA_SHARED
#undef ZETA_R64
#undef ZETA_R48
#undef ZETA_R32
#undef ZETA_R3
#undef ZETA_R2
#undef ZETA_R1
#undef ZETA_R0
#undef ZETA_D64
#undef ZETA_D48
#undef ZETA_D32
#undef ZETA_SIXTEEN
#undef ZETA_FOUR
// clang-format on

}  // namespace zeta::cuda::hopper
