// wgmma on 8-bit operands, both from shared memory: d (64, 256) += a (64, 32) · bᵀ (256, 32), rows along the
// depth in 128-byte rows as matrix_descriptor describes them. int8 sums in int32, exactly, and wraps; e4m3 in
// float, of which the tensor cores keep 13 bits of fraction or more beside the largest term. The rest is
// wgmma.cuh's.
#pragma once

#include <cstdint>

namespace zeta::cuda::hopper {

// clang-format off
#define ZETA_FOUR(C, d, i) "+" C(d[i]), "+" C(d[i + 1]), "+" C(d[i + 2]), "+" C(d[i + 3])
#define ZETA_SIXTEEN(C, d, i) \
  ZETA_FOUR(C, d, i), ZETA_FOUR(C, d, i + 4), ZETA_FOUR(C, d, i + 8), ZETA_FOUR(C, d, i + 12)
#define ZETA_SIXTY_FOUR(C, d, i) \
  ZETA_SIXTEEN(C, d, i), ZETA_SIXTEEN(C, d, i + 16), ZETA_SIXTEEN(C, d, i + 32), ZETA_SIXTEEN(C, d, i + 48)
#define ZETA_REGISTERS \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, " \
  "%19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, " \
  "%36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, " \
  "%53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, %64, %65, %66, %67, %68, %69, " \
  "%70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, %86, " \
  "%87, %88, %89, %90, %91, %92, %93, %94, %95, %96, %97, %98, %99, %100, %101, %102, %103, " \
  "%104, %105, %106, %107, %108, %109, %110, %111, %112, %113, %114, %115, %116, %117, " \
  "%118, %119, %120, %121, %122, %123, %124, %125, %126, %127"

__device__ inline void wgmma_8bit(int (&d)[128], uint64_t a, uint64_t b, bool accumulate) {
  asm volatile("{.reg .pred p; setp.ne.b32 p, %130, 0;\n"
               "wgmma.mma_async.sync.aligned.m64n256k32.s32.s8.s8 {" ZETA_REGISTERS "}, %128, %129, p;}\n"
               : ZETA_SIXTY_FOUR("r", d, 0), ZETA_SIXTY_FOUR("r", d, 64)
               : "l"(a), "l"(b), "r"(int{accumulate}));
}
__device__ inline void wgmma_8bit(float (&d)[128], uint64_t a, uint64_t b, bool accumulate) {
  asm volatile("{.reg .pred p; setp.ne.b32 p, %130, 0;\n"
               "wgmma.mma_async.sync.aligned.m64n256k32.f32.e4m3.e4m3 {" ZETA_REGISTERS "}, %128, %129, p, 1, 1;}\n"
               : ZETA_SIXTY_FOUR("f", d, 0), ZETA_SIXTY_FOUR("f", d, 64)
               : "l"(a), "l"(b), "r"(int{accumulate}));
}
#undef ZETA_REGISTERS
#undef ZETA_SIXTY_FOUR
#undef ZETA_SIXTEEN
#undef ZETA_FOUR
// clang-format on

}  // namespace zeta::cuda::hopper
