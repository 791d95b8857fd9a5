// wgmma: products of a warpgroup (128 threads) on the tensor cores of Hopper (sm_90a), fp32 accumulators.
//
// d (64, N) += a (64, 16) · b (16, N), in bf16 or fp16; b, and a where it is not in registers, from shared
// memory as matrix_descriptor describes it. Thread t holds d as for mma.m16n8: rows r = 16·(t/32) + (t%32)/4
// and r + 8, d[4j], d[4j+1] columns 8j + 2·(t%4) and the next of row r, d[4j+2], d[4j+3] the same of row r
// + 8. Products are asynchronous: wgmma_fence before the first, wgmma_commit after the last, wgmma_wait
// before d is read or an operand overwritten. PTX ISA, "Asynchronous Warpgroup Level Matrix Instructions".
//
// wgmma_int8 is the same for int8, 32 deep, a in registers and int32 accumulators, which wrap.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

namespace zeta::cuda::hopper {

__device__ inline void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ inline void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
// Returns once at most kPending groups are unfinished.
template <int kPending>
__device__ inline void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

// Keeps the compiler from moving registers that a running product owns.
template <int kCount>
__device__ inline void pin(float (&d)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+f"(d[i])::"memory");
}

// Keeps the assembler from moving a wait to before `value`, which is never negative, is computed: it knows of
// no reason why a wait should come late, so this gives it one: a store that never runs. (A trap would be a
// branch, after which warps count as divergent and descriptors leave the uniform registers.)
__device__ inline void hold_back(float value) {
  asm volatile("{.reg .pred p; setp.lt.f32 p, %0, 0f00000000; @p st.shared.f32 [%1], %0;}" ::"f"(value),
               "r"(0)
               : "memory");
}

// A matrix in shared memory of 128-byte rows, swizzled by 128 bytes, starting at a multiple of 1024 bytes (or
// a multiple of 32 bytes into such a row). Rows run along M or N where 64 of the product's depth lie in a
// row; for a transposed operand rows run along the depth, and `slab` is the distance in bytes from one 64
// columns to the next.
__device__ inline uint64_t matrix_descriptor(const void* matrix, int slab = 16) {
  constexpr uint64_t kSwizzle128 = uint64_t{1} << 62, kEightRows = uint64_t{1024 >> 4} << 32;
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(matrix));
  const uint32_t low = static_cast<uint32_t>(slab) >> 4 << 16 | (address & 0x3FFFF) >> 4;
  return kSwizzle128 | kEightRows | __shfl_sync(~0u, low, 0);
}
// The descriptor `bytes` further on, by one addition of 32 bits: a tile lies in the low half's range.
__device__ inline uint64_t advance(uint64_t descriptor, int bytes) {
  const uint32_t low = static_cast<uint32_t>(descriptor) + (bytes >> 4);
  return descriptor >> 32 << 32 | low;
}

// b in shared memory without a swizzle, for a single product: N rows of 32 bytes, in pieces of 8 rows × 16
// bytes that are 128 bytes each; first both pieces of 8 rows, then those of the next 8.
__device__ inline uint64_t slab_descriptor(const void* slab) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(slab));
  return uint64_t{256 >> 4} << 32 | uint64_t{128 >> 4} << 16 | (address & 0x3FFFF) >> 4;
}

// clang-format off
#define ZETA_F4(d, i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define ZETA_F16(d, i) ZETA_F4(d, i), ZETA_F4(d, i + 4), ZETA_F4(d, i + 8), ZETA_F4(d, i + 12)
#define ZETA_F32(d) ZETA_F16(d, 0), ZETA_F16(d, 16)
#define ZETA_F64(d) ZETA_F32(d), ZETA_F16(d, 32), ZETA_F16(d, 48)
#define ZETA_D16(d) ZETA_F16(d, 0)
#define ZETA_D32(d) ZETA_F32(d)
#define ZETA_D64(d) ZETA_F64(d)
#define ZETA_D128(d) ZETA_F64(d), ZETA_F16(d, 64), ZETA_F16(d, 80), ZETA_F16(d, 96), ZETA_F16(d, 112)
#define ZETA_I4(d, i) "+r"(d[i]), "+r"(d[i + 1]), "+r"(d[i + 2]), "+r"(d[i + 3])
#define ZETA_I16(d, i) ZETA_I4(d, i), ZETA_I4(d, i + 4), ZETA_I4(d, i + 8), ZETA_I4(d, i + 12)
#define ZETA_I32(d) ZETA_I16(d, 0), ZETA_I16(d, 16)
#define ZETA_I64(d) ZETA_I32(d), ZETA_I16(d, 32), ZETA_I16(d, 48)
#define ZETA_R16 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"
#define ZETA_R32 ZETA_R16 ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define ZETA_R64 ZETA_R32 ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define ZETA_R128 ZETA_R64 ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"

#define ZETA_WGMMA_SS(TYPE, N, R, A, B, P, TA, TB)                                                           \
  asm volatile("{.reg .pred p; setp.ne.b32 p, %" #P ", 0;\n"                                                 \
               "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." TYPE "." TYPE " {" ZETA_R##R "}, "          \
               "%" #A ", %" #B ", p, 1, 1, %" #TA ", %" #TB ";}\n"                                           \
               : ZETA_D##R(d) : "l"(a), "l"(b), "r"(int{accumulate}), "n"(kTransA), "n"(kTransB))
#define ZETA_WGMMA_RS(TYPE, N, R, A0, A1, A2, A3, B, P, TB)                                                  \
  asm volatile("{.reg .pred p; setp.ne.b32 p, %" #P ", 0;\n"                                                 \
               "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." TYPE "." TYPE " {" ZETA_R##R "}, "          \
               "{%" #A0 ", %" #A1 ", %" #A2 ", %" #A3 "}, %" #B ", p, 1, 1, %" #TB ";}\n"                    \
               : ZETA_D##R(d)                                                                                \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(int{accumulate}), "n"(kTransB))
#define ZETA_WGMMA(N, R, R1, R2, R3, R4, R5, R6)                                                             \
  template <typename T, int kTransA = 0, int kTransB = 0>                                                    \
  __device__ inline void wgmma(float (&d)[R], uint64_t a, uint64_t b, bool accumulate) {                     \
    if constexpr (std::is_same_v<T, __nv_bfloat16>)                                                          \
      ZETA_WGMMA_SS("bf16", N, R, R, R1, R2, R3, R4);                                                        \
    else                                                                                                     \
      ZETA_WGMMA_SS("f16", N, R, R, R1, R2, R3, R4);                                                         \
  }                                                                                                          \
  template <typename T, int kTransB = 0>                                                                     \
  __device__ inline void wgmma(float (&d)[R], const uint32_t (&a)[4], uint64_t b, bool accumulate) {         \
    if constexpr (std::is_same_v<T, __nv_bfloat16>)                                                          \
      ZETA_WGMMA_RS("bf16", N, R, R, R1, R2, R3, R4, R5, R6);                                                \
    else                                                                                                     \
      ZETA_WGMMA_RS("f16", N, R, R, R1, R2, R3, R4, R5, R6);                                                 \
  }
#define ZETA_WGMMA_INT8(N, R, D, R1, R2, R3, R4, R5)                                                         \
  __device__ inline void wgmma_int8(int (&d)[R], const uint32_t (&a)[4], uint64_t b, bool accumulate) {      \
    asm volatile("{.reg .pred p; setp.ne.b32 p, %" #R5 ", 0;\n"                                              \
                 "wgmma.mma_async.sync.aligned.m64n" #N "k32.s32.s8.s8 {" ZETA_R##R "}, "                    \
                 "{%" #R ", %" #R1 ", %" #R2 ", %" #R3 "}, %" #R4 ", p;}\n"                                  \
                 : D : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(int{accumulate}));            \
  }
ZETA_WGMMA_INT8(32, 16, ZETA_I16(d, 0), 17, 18, 19, 20, 21)
ZETA_WGMMA_INT8(64, 32, ZETA_I32(d), 33, 34, 35, 36, 37)
ZETA_WGMMA_INT8(128, 64, ZETA_I64(d), 65, 66, 67, 68, 69)
ZETA_WGMMA(32, 16, 17, 18, 19, 20, 21, 22)
ZETA_WGMMA(64, 32, 33, 34, 35, 36, 37, 38)
ZETA_WGMMA(128, 64, 65, 66, 67, 68, 69, 70)
ZETA_WGMMA(256, 128, 129, 130, 131, 132, 133, 134)
#undef ZETA_WGMMA_INT8
#undef ZETA_WGMMA
#undef ZETA_WGMMA_RS
#undef ZETA_WGMMA_SS
#undef ZETA_R128
#undef ZETA_R64
#undef ZETA_R32
#undef ZETA_R16
#undef ZETA_I64
#undef ZETA_I32
#undef ZETA_I16
#undef ZETA_I4
#undef ZETA_D128
#undef ZETA_D64
#undef ZETA_D32
#undef ZETA_D16
#undef ZETA_F64
#undef ZETA_F32
#undef ZETA_F16
#undef ZETA_F4
// clang-format on

}  // namespace zeta::cuda::hopper
