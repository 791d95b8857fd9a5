// An additive bias, read where it lies and added to scores in base 2.
#pragma once

#include "kernels/cuda/attention/rows.cuh"

namespace zeta::cuda {

constexpr float kLog2E = 1.44269504088896340736f;

// Keeps the compiler from computing multiples of x before a loop, where they take registers all along.
__device__ __forceinline__ int64_t opaque(int64_t x) {
  asm volatile("" : "+l"(x));
  return x;
}

// `from`: the bias of the thread's first element. rows, columns: how many there are from it on.
template <typename B, int kCount>
__device__ __forceinline__ void add_bias(float (&x)[kCount], const B* from, int64_t row_stride,
                                         int64_t column_stride, int rows, int columns) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    if (8 * half >= rows) break;
    const B* line = from + 8 * half * row_stride;
#pragma unroll
    for (int i = 0; i < kCount; i += 4)
#pragma unroll
      for (int j = 0; j < 2; ++j)
        if (2 * i + j < columns)
          x[i + 2 * half + j] += static_cast<float>(line[(2 * i + j) * column_stride]) * kLog2E;
  }
}

__device__ __forceinline__ float2 unpack(uint32_t both, __nv_bfloat16) {
  return {__uint_as_float(both << 16), __uint_as_float(both & 0xffff0000)};
}
__device__ __forceinline__ float2 unpack(uint32_t both, __half) {
  return __half22float2(reinterpret_cast<const __half2&>(both));
}

// The same for rows in pieces of 16 bytes, all columns of the tile being there: of 32 columns each lane of a
// quad loads eight, and passes on what is the others'. `from`: the quad's first element.
template <typename B, int kCount>
__device__ __forceinline__ void add_bias_pieces(float (&x)[kCount], const B* from, int64_t row_stride,
                                                int rows) {
  from += threadIdx.x % 4 * 8;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const B* line = from + 8 * half * row_stride;
    const auto load = [&](int column) {
      return 8 * half < rows ? *reinterpret_cast<const uint4*>(line + column) : uint4{};
    };
#pragma unroll
    for (int c = 0; c < kCount; c += 16) {
      const uint4 a = load(2 * c);
      if constexpr (sizeof(B) == 2) {
        const uint4 mine = transpose_quad({a.x, a.y, a.z, a.w});
        const uint32_t words[4] = {mine.x, mine.y, mine.z, mine.w};
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          const float2 both = unpack(words[j], B());
          x[c + 4 * j + 2 * half] += both.x * kLog2E, x[c + 4 * j + 2 * half + 1] += both.y * kLog2E;
        }
      } else {
        const uint4 b = load(2 * c + 4);
        const uint4 even = transpose_quad({a.x, a.z, b.x, b.z}), odd = transpose_quad({a.y, a.w, b.y, b.w});
        const uint32_t first[4] = {even.x, even.y, even.z, even.w}, second[4] = {odd.x, odd.y, odd.z, odd.w};
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          x[c + 4 * j + 2 * half] += __uint_as_float(first[j]) * kLog2E;
          x[c + 4 * j + 2 * half + 1] += __uint_as_float(second[j]) * kLog2E;
        }
      }
    }
  }
}

}  // namespace zeta::cuda
