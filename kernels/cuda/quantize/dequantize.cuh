// Values of 8-bit codes with a scale a row.
#pragma once

#include <algorithm>

#include "kernels/cuda/vectors.cuh"

namespace zeta::cuda {

// A block a row. Value is made from a row's scale and gives the value of a code in the low byte of a word.
// With kVector columns are a multiple of 8.
template <class Value, bool kVector>
__global__ void dequantize_kernel(const uint8_t* codes, const float* scale, int columns, Output used) {
  const int64_t row = blockIdx.x;
  const Value value(scale[row]);
  const int count = kVector ? columns / 8 : columns;
  for (int i = threadIdx.x; i < count; i += blockDim.x) {
    const int64_t at = row * count + i;
    if constexpr (kVector) {
      const uint2 words = reinterpret_cast<const uint2*>(codes)[at];
      uint8_t bytes[8];
      float v[8];
#pragma unroll
      for (int j = 0; j < 8; ++j) bytes[j] = static_cast<uint8_t>((j < 4 ? words.x : words.y) >> j % 4 * 8);
      value.of(bytes, v);
      store_eight(used, at, v);
    } else {
      const uint8_t bytes[1] = {codes[at]};
      float v[1];
      value.of(bytes, v);
      store_one(used, at, v[0]);
    }
  }
}

template <class Value>
cudaError_t dequantize_rows(const uint8_t* codes, const float* scale, int64_t rows, int64_t columns,
                            const Output& used, cudaStream_t stream) {
  if (rows == 0) return cudaSuccess;
  const bool vector = columns % 8 == 0;
  const int64_t loads = vector ? columns / 8 : columns;
  const auto threads = static_cast<unsigned>(std::clamp<int64_t>((loads + 31) / 32 * 32, 32, 512));
  const auto kernel = vector ? dequantize_kernel<Value, true> : dequantize_kernel<Value, false>;
  kernel<<<static_cast<unsigned>(rows), threads, 0, stream>>>(codes, scale, static_cast<int>(columns), used);
  return cudaGetLastError();
}

}  // namespace zeta::cuda
