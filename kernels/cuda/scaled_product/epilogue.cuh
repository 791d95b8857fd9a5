// From a warpgroup's sums to y.
#pragma once

#include "kernels/cuda/read_values.cuh"
#include "kernels/cuda/scaled_product/tiles.cuh"
#include "kernels/cuda/vectors.cuh"

namespace zeta::cuda {

// Scales as training's formula rounds them.
struct Int8Scaling {
  float factor;
  __device__ Int8Scaling(const ProductParams& p, int row) : factor(*p.b_scale / p.a_scale[row]) {}
  __device__ float operator()(const ProductParams& p, int sum, int) const {
    return __fmul_rn(static_cast<float>(sum), factor);
  }
};

template <typename T>
__device__ inline void store_pairs(const ProductParams& p, int row, int column, bool inside, uint32_t first,
                                   uint32_t second) {
  // Of 16 columns a thread has 2 of the first 8 and 2 of the last: neighbours trade, so that each stores 4.
  const bool odd = threadIdx.x % 2;
  const uint32_t traded = __shfl_xor_sync(~0u, odd ? first : second, 1);
  const int at = column + (odd ? 8 : 0) + threadIdx.x % 4 / 2 * 4;
  if (inside && at < p.n)
    *reinterpret_cast<uint2*>(static_cast<T*>(p.y.data) + int64_t{row} * p.n + at) =
        odd ? uint2{traded, second} : uint2{first, traded};
}

// acc as hopper::wgmma leaves it, of 64 rows from first_row on.
template <class Scaling, typename Sum>
__device__ void write_tile(const ProductParams& p, int first_row, int first_column, const Sum (&acc)[128]) {
  const int row = first_row + threadIdx.x % 128 / 32 * 16 + threadIdx.x % 32 / 4;
  const int pair = threadIdx.x % 4 * 2;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int y_row = row + 8 * half;
    const bool inside = y_row < p.m;
    const Scaling scaling(p, inside ? y_row : 0);
#pragma unroll
    for (int i = 0; i < 16; ++i) {  // 16 columns
      const int column = first_column + 16 * i;
      if (column >= p.n) break;
      float v[4];
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int at = min(column + j / 2 * 8 + pair + j % 2, p.n - 1);
        v[j] = scaling(p, acc[8 * i + j / 2 * 4 + 2 * half + j % 2], at);
        if (p.bias.data) v[j] = __fadd_rn(v[j], read(p.bias, at));
      }
      switch (p.y.dtype) {
        case Dtype::kHalf:
          store_pairs<__half>(p, y_row, column, inside, pack_pair<__half>(v[0], v[1]),
                              pack_pair<__half>(v[2], v[3]));
          break;
        case Dtype::kBFloat16:
          store_pairs<__nv_bfloat16>(p, y_row, column, inside, pack_pair<__nv_bfloat16>(v[0], v[1]),
                                     pack_pair<__nv_bfloat16>(v[2], v[3]));
          break;
        default:
#pragma unroll
          for (int j = 0; j < 2; ++j) {
            const int at = column + 8 * j + pair;
            if (inside && at < p.n)
              *reinterpret_cast<float2*>(static_cast<float*>(p.y.data) + int64_t{y_row} * p.n + at) = {
                  v[2 * j], v[2 * j + 1]};
          }
      }
    }
  }
}

}  // namespace zeta::cuda
