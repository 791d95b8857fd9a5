// 4-bit weights for any sizes, alignment and dtype: a warp an output feature. What the tensor cores do not
// take.
#pragma once

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/packed_linear/packed_linear.h"
#include "kernels/cuda/read_values.cuh"

namespace zeta::cuda {

constexpr int kSimpleWarps = 4;  // of a block
constexpr int kRowTile = 8;      // rows of x that share one pass over the weights

template <typename T>
__global__ void int4_simple_kernel(Int4Linear p, const T* x, T* y) {
  const int64_t out = int64_t{blockIdx.x} * kSimpleWarps + threadIdx.y, k = p.in_features;
  if (out >= p.out_features) return;
  const uint32_t* const packed = reinterpret_cast<const uint32_t*>(p.packed) + out * (k / 8);
  for (int64_t row0 = int64_t{blockIdx.y} * kRowTile; row0 < p.rows; row0 += int64_t{gridDim.y} * kRowTile) {
    const int tile = static_cast<int>(min(int64_t{kRowTile}, p.rows - row0));
    float acc[kRowTile] = {};
    for (int64_t i = threadIdx.x; i < k / 8; i += 32) {
      const uint32_t word = packed[i];
      const float s = read(p.scale, out * (k / p.group_size) + i * 8 / p.group_size);
      float w[8];
      for (int j = 0; j < 8; ++j)
        w[j] = static_cast<float>(static_cast<int>((word >> (4 * j)) & 15u) - 8) * s;
#pragma unroll
      for (int r = 0; r < kRowTile; ++r) {
        if (r >= tile) break;
        const T* xr = x + (row0 + r) * k + i * 8;
        for (int j = 0; j < 8; ++j) acc[r] += w[j] * to_float(xr[j]);
      }
    }
#pragma unroll
    for (int r = 0; r < kRowTile; ++r) {
      if (r >= tile) break;
      const float total = warp_sum(acc[r]);
      if (threadIdx.x == 0)
        y[(row0 + r) * p.out_features + out] = from_float<T>(p.bias.data ? total + read(p.bias, out) : total);
    }
  }
}

// CUDA's limit in y is 65535; kernels take the row tiles beyond it in turn.
inline Launch simple_launch(int64_t warps, int64_t rows) {
  Launch how;
  how.grid = dim3(static_cast<unsigned>((warps + kSimpleWarps - 1) / kSimpleWarps),
                  static_cast<unsigned>(min((rows + kRowTile - 1) / kRowTile, int64_t{65535})));
  how.block = dim3(32, kSimpleWarps);
  return how;
}

}  // namespace zeta::cuda
