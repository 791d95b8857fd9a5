// Quantising a row with one scale, by a block that reads it once: what it holds of it stays in registers.
#pragma once

#include <algorithm>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/read_values.cuh"
#include "kernels/cuda/vectors.cuh"

namespace zeta::cuda {

constexpr int kHeldVectors = 4;  // of a thread; longer rows are read twice
constexpr int kMostRowThreads = 1024;

// The greatest of the block's values, NaN above all, in every thread.
__device__ inline float block_greatest(float most) {
  __shared__ float of_warp[kMostRowThreads / 32];
  for (int d = 16; d > 0; d /= 2) most = larger(__shfl_xor_sync(~0u, most, d), most);
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = most;
  __syncthreads();
  most = threadIdx.x % 32 < blockDim.x / 32 ? of_warp[threadIdx.x % 32] : 0;
  for (int d = 16; d > 0; d /= 2) most = larger(__shfl_xor_sync(~0u, most, d), most);
  return most;
}

// x (rows, columns), a block a row. Row is made from the greatest magnitude of one; row.eight(v, at) and
// row.one(v, at) store codes at vector or value `at` of the tensor. With kVector columns are a multiple of 8.
template <class Row, bool kVector>
__global__ void __launch_bounds__(kMostRowThreads)
    quantize_row_kernel(Values x, int columns, typename Row::Target to) {
  const int64_t row = blockIdx.x;
  const int threads = blockDim.x, count = kVector ? columns / 8 : columns;
  const int64_t begin = row * count;
  float most = 0, v[8];
  if constexpr (!kVector) {
    for (int i = threadIdx.x; i < count; i += threads) most = larger(fabsf(read(x, begin + i)), most);
    const Row codes(to, row, block_greatest(most));
    for (int i = threadIdx.x; i < count; i += threads) codes.one(read(x, begin + i), begin + i);
  } else {
    RawEight held[kHeldVectors];
    const auto load = [&](int first) {
#pragma unroll
      for (int j = 0; j < kHeldVectors; ++j) {
        const int at = first + j * threads + threadIdx.x;
        held[j] = load_eight(x, begin + at, at < count);
      }
    };
    const int step = kHeldVectors * threads;
    for (int first = 0; first < count; first += step) {
      load(first);
#pragma unroll
      for (const RawEight& raw : held) most = larger(greatest(raw, x.dtype), most);
    }
    const Row codes(to, row, block_greatest(most));
    for (int first = 0; first < count; first += step) {
      if (count > step) load(first);
#pragma unroll
      for (int j = 0; j < kHeldVectors; ++j) {
        const int at = first + j * threads + threadIdx.x;
        if (at >= count) break;
        to_floats(held[j], x.dtype, v);
        codes.eight(v, begin + at);
      }
    }
  }
}

template <class Row>
cudaError_t quantize_rows_once(const Values& x, int64_t rows, int64_t columns, const typename Row::Target& to,
                               cudaStream_t stream) {
  if (rows == 0) return cudaSuccess;
  const bool vector = columns % 8 == 0;
  const int64_t loads = vector ? (columns / 8 + kHeldVectors - 1) / kHeldVectors : columns;
  const auto threads =
      static_cast<unsigned>(std::clamp<int64_t>((loads + 31) / 32 * 32, 32, kMostRowThreads));
  const auto kernel = vector ? quantize_row_kernel<Row, true> : quantize_row_kernel<Row, false>;
  kernel<<<static_cast<unsigned>(rows), threads, 0, stream>>>(x, static_cast<int>(columns), to);
  return cudaGetLastError();
}

}  // namespace zeta::cuda
