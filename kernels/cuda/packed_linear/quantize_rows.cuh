// Rows of activations as int8, with the scale and the sum of each.
#pragma once

#include <algorithm>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/packed_linear/quantize.cuh"

namespace zeta::cuda {

// A block a row.
template <typename T, bool kVector, typename Codes>
__global__ void __launch_bounds__(1024)
    quantize_rows_kernel(const T* x, int k, int padded, Codes codes, float* scale, int32_t* sum) {
  __shared__ QuantizeScratch<1> scratch;
  wait_for_previous_grid();
  let_next_grid_start();
  const int64_t row = blockIdx.x;
  quantize_block<kVector>(x + row * k, 1, k, padded, codes.from_row(row), scratch);
  if (threadIdx.x != 0) return;
  scale[row] = scratch.scale[0];
  sum[row] = scratch.sum(0);
}

// x (rows, k), scale (rows), sum (rows); kVector and `padded` are quantize_block's.
template <bool kVector, typename T, typename Codes>
cudaError_t quantize_rows(const T* x, int64_t rows, int k, int padded, const Codes& codes, float* scale,
                          int32_t* sum, const Device& device, cudaStream_t stream) {
  const int loads = kVector ? k / static_cast<int>(16 / sizeof(T)) : k;
  Launch how;
  how.grid = dim3(static_cast<unsigned>(rows));
  how.block = dim3(static_cast<unsigned>(std::clamp((loads + 31) / 32 * 32, 64, 1024)));
  how.overlap = device.hopper;
  return launch(how, stream, quantize_rows_kernel<T, kVector, Codes>, x, k, padded, codes, scale, sum);
}

}  // namespace zeta::cuda
