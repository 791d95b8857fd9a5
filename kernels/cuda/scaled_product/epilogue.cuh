// From a warpgroup's sums to y.
#pragma once

#include "kernels/cuda/read_values.cuh"
#include "kernels/cuda/scaled_product/tiles.cuh"
#include "kernels/cuda/vectors.cuh"

namespace zeta::cuda {

// Scales as training's formula rounds them. A thread's columns come in pairs.
struct Int8Scaling {
  struct Columns {
    __device__ Columns(const ProductParams&, int) {}
  };
  float factor;
  __device__ Int8Scaling(const ProductParams& p, int row) : factor(*p.b_scale / p.a_scale[row]) {}
  __device__ float2 operator()(int first, int second, const Columns&) const {
    return {__fmul_rn(static_cast<float>(first), factor), __fmul_rn(static_cast<float>(second), factor)};
  }
};

struct Fp8Scaling {
  struct Columns {
    float2 scale;
    __device__ Columns(const ProductParams& p, int column)
        : scale(*reinterpret_cast<const float2*>(p.b_scale + column)) {}
  };
  float factor;
  __device__ Fp8Scaling(const ProductParams& p, int row) : factor(p.a_scale[row]) {}
  __device__ float2 operator()(float first, float second, const Columns& columns) const {
    return {__fmul_rn(__fmul_rn(first, factor), columns.scale.x),
            __fmul_rn(__fmul_rn(second, factor), columns.scale.y)};
  }
};

// Of 16 columns a thread has 2 of the first 8 and 2 of the last. Neighbours trade 16-bit ones, so that each
// stores 4 and a quarter of a warp whole sectors of 32 bytes; pairs of floats fill them as they are. `y` is
// the row from the 16 columns on, of which `left` exist.
template <typename T>
__device__ inline void store_pairs(T* y, bool inside, int left, const float2 (&v)[2]) {
  const int quad = threadIdx.x % 4;
  if constexpr (sizeof(T) == 2) {
    const bool odd = quad % 2;
    const uint32_t first = pack_pair<T>(v[0].x, v[0].y), second = pack_pair<T>(v[1].x, v[1].y);
    const uint32_t traded = __shfl_xor_sync(~0u, odd ? first : second, 1);
    const int at = (odd ? 8 : 0) + quad / 2 * 4;
    if (inside && at < left)
      *reinterpret_cast<uint2*>(y + at) = odd ? uint2{traded, second} : uint2{first, traded};
  } else {
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const int at = 8 * j + 2 * quad;
      if (inside && at < left) *reinterpret_cast<float2*>(y + at) = v[j];
    }
  }
}

// The first of a thread's two rows among 64 from first_row on; the other is 8 below.
__device__ inline int own_row(int first_row) {
  return first_row + threadIdx.x % 128 / 32 * 16 + threadIdx.x % 32 / 4;
}

// acc as hopper::wgmma leaves it, of 64 rows from first_row on; scaling of both own rows.
template <typename T, bool kBias, class Scaling, typename Sum>
__device__ void write_tile(const ProductParams& p, int first_row, int first_column,
                           const Scaling (&scaling)[2], const Sum (&acc)[128]) {
  const int row = own_row(first_row);
  const bool inside[2] = {row < p.m, row + 8 < p.m};
  T* const y = static_cast<T*>(p.y) + int64_t{row} * p.n + first_column;
#pragma unroll
  for (int i = 0; i < 16; ++i) {  // 16 columns
    const int left = p.n - first_column - 16 * i;
    if (left <= 0) break;
    float2 v[2][2];
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const int at = 8 * j < left ? first_column + 16 * i + 8 * j + threadIdx.x % 4 * 2 : 0;
      const typename Scaling::Columns columns(p, at);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int first = 8 * i + 4 * j + 2 * half;
        v[half][j] = scaling[half](acc[first], acc[first + 1], columns);
        if constexpr (kBias) {
          v[half][j].x = __fadd_rn(v[half][j].x, read(p.bias, at));
          v[half][j].y = __fadd_rn(v[half][j].y, read(p.bias, at + 1));
        }
      }
    }
#pragma unroll
    for (int half = 0; half < 2; ++half)
      store_pairs(y + int64_t{8} * half * p.n + 16 * i, inside[half], left, v[half]);
  }
}

}  // namespace zeta::cuda
