// Ternary weights for any sizes and alignment: a warp a packed row, that is four output features. What the
// tensor cores do not take.
#pragma once

#include "kernels/cuda/packed_linear/int4_simple.cuh"

namespace zeta::cuda {

// Four bytes of a packed row, the i-th four. Rows whose length is no multiple of four are read byte by byte.
template <bool kWholeWords>
__device__ int packed_word(const uint8_t* row, int64_t i, int64_t k) {
  if constexpr (kWholeWords) return reinterpret_cast<const int*>(row)[i];
  uint32_t word = 0;
  for (int64_t j = 0; j < min(int64_t{4}, k - 4 * i); ++j) word |= uint32_t{row[4 * i + j]} << (8 * j);
  return static_cast<int>(word);
}

// Four bytes of one packed row hold four input features of each of the four outputs; a shift and a mask make
// them operands of dp4a.
template <typename T, bool kWholeWords>
__global__ void ternary_simple_kernel(TernaryLinear p, const int8_t* q, const float* x_scale,
                                      const int32_t* sum, T* y) {
  const int64_t packed_row = int64_t{blockIdx.x} * kSimpleWarps + threadIdx.y;
  const int64_t k = p.in_features, quarter = p.out_features / 4, stride = (k + 15) / 16 * 16;
  if (packed_row >= quarter) return;
  const uint8_t* const packed = p.packed + packed_row * k;
  const float scale = read(p.scale, 0);
  for (int64_t row0 = int64_t{blockIdx.y} * kRowTile; row0 < p.rows; row0 += int64_t{gridDim.y} * kRowTile) {
    const int tile = static_cast<int>(min(int64_t{kRowTile}, p.rows - row0));
    int acc[kRowTile][4] = {};
    for (int64_t i = threadIdx.x; i < (k + 3) / 4; i += 32) {
      const int word = packed_word<kWholeWords>(packed, i, k);
      int codes[4];
      for (int s = 0; s < 4; ++s) codes[s] = (word >> (2 * s)) & 0x03030303;
#pragma unroll
      for (int r = 0; r < kRowTile; ++r) {
        if (r >= tile) break;
        const int x4 = reinterpret_cast<const int*>(q + (row0 + r) * stride)[i];
        for (int s = 0; s < 4; ++s) acc[r][s] = __dp4a(codes[s], x4, acc[r][s]);
      }
    }
#pragma unroll
    for (int r = 0; r < kRowTile; ++r) {
      if (r >= tile) break;
      const int64_t row = row0 + r;
      for (int s = 0; s < 4; ++s) {
        const int total = warp_sum(acc[r][s]) - sum[row];  // codes are stored plus one
        if (threadIdx.x != 0) continue;
        const int64_t out = packed_row + s * quarter;
        y[row * p.out_features + out] = from_float<T>(ternary_value(total, scale, x_scale[row], p.bias, out));
      }
    }
  }
}

}  // namespace zeta::cuda
