// Writing accumulators of wgmma to rows of a matrix in global memory.
#pragma once

#include "kernels/cuda/attention/softmax.cuh"

namespace zeta::cuda {

// The 4 × 4 words that a quad of lanes holds, turned: lane i gives words[j] to lane j and gets its words[i].
__device__ __forceinline__ uint4 transpose_quad(const uint32_t (&words)[4]) {
  const int lane = static_cast<int>(threadIdx.x) % 4;
  uint32_t turned[4];
#pragma unroll
  for (int round = 0; round < 4; ++round) {
    const int other = lane ^ round;
    const uint32_t low = other & 1 ? words[1] : words[0], high = other & 1 ? words[3] : words[2];
    const uint32_t got = __shfl_xor_sync(~0u, other & 2 ? high : low, round);
#pragma unroll
    for (int j = 0; j < 4; ++j) turned[j] = other == j ? got : turned[j];
  }
  return make_uint4(turned[0], turned[1], turned[2], turned[3]);
}

// Writes a thread's part of d (64 rows of a warpgroup × 2 · kCount columns): `to` is its first row
// (wgmma.cuh), the other one is eight rows on; both only where they exist, 16 bytes at a time. `columns` is a
// multiple of 8.
template <typename T, int kCount>
__device__ __forceinline__ void write_rows(const float (&d)[kCount], T* to, int64_t row_stride, int rows_left,
                                           int columns) {
  const int lane = static_cast<int>(threadIdx.x) % 4;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
#pragma unroll
    for (int c = 0; c < kCount; c += 16) {
      uint32_t words[4];
#pragma unroll
      for (int j = 0; j < 4; ++j) words[j] = pack(d[c + 4 * j + 2 * half], d[c + 4 * j + 2 * half + 1], T());
      const uint4 sixteen_bytes = transpose_quad(words);
      const int column = 2 * c + 8 * lane;
      if (8 * half < rows_left && column < columns)
        *reinterpret_cast<uint4*>(to + 8 * half * row_stride + column) = sixteen_bytes;
    }
  }
}

}  // namespace zeta::cuda
