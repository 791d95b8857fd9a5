// Activations in the order in which the wide kernels multiply them, so that one bulk copy brings a step of k.
//
// A step is kStep = 128 values of k, a tile kTokens rows of x. out is (tiles, steps, slabs, kTokens / 8, 2,
// 8, 16 bytes): a slab is the 32 bytes of k of one product, as hopper::slab_descriptor wants b; which k they
// are follows from what a lane loads of the weights (int4_tensor.cuh, ternary_tensor.cuh). What lies beyond
// the last row meets only columns that are not used; what lies beyond the last k is zero.
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/memory.cuh"

namespace zeta::cuda {

constexpr int kStep = 128;

// Element `i` of the 16 bytes of half `half` of slab `slab`.
__device__ inline int arranged_k(int slab, int half, int i) {
  return 32 * (i / 2) + 8 * (slab / 2) + 2 * (slab % 2) + half + 4 * (i % 2);
}

// Words that a kernel sets to 0 beside its work.
struct Cleared {
  int* words;
  int count;
  __device__ void clear(int block, int blocks) const {
    for (int i = block * blockDim.x + threadIdx.x; i < count; i += blocks * blockDim.x) words[i] = 0;
  }
};

// Block (step, group of 8 rows), 16 bytes a thread. T has 16 bits.
template <typename T>
__global__ void arrange_kernel(const T* x, T* out, int rows, int k, int tokens, Cleared cleared) {
  constexpr int kSize = 8, kPieces = kStep / kSize;  // 16-byte pieces of a row's step
  __shared__ alignas(16) T tile[8][kStep + kSize];
  wait_for_previous_grid();
  let_next_grid_start();
  cleared.clear(blockIdx.x * gridDim.y + blockIdx.y, gridDim.x * gridDim.y);
  const int step = blockIdx.x, first = blockIdx.y * 8, thread = threadIdx.x;
  const int row = thread / kPieces, at = thread % kPieces * kSize;
  const bool wanted = first + row < rows && step * kStep + at < k;
  *reinterpret_cast<uint4*>(&tile[row][at]) =
      load_16(x + int64_t{first + row} * k + step * kStep + at, wanted);
  __syncthreads();
  const int slab = thread / 16, half = thread / 8 % 2, n = thread % 8;
  union {
    uint4 piece;
    T values[kSize];
  } gathered;
#pragma unroll
  for (int i = 0; i < kSize; ++i) gathered.values[i] = tile[n][arranged_k(slab, half, i)];
  const int64_t place = int64_t{first / tokens} * gridDim.x + step;  // of the step in out
  uint8_t* const to = reinterpret_cast<uint8_t*>(out) + place * (tokens * kStep * sizeof(T));
  *reinterpret_cast<uint4*>(to + slab * (tokens * 32) + first % tokens / 8 * 256 + half * 128 + n * 16) =
      gathered.piece;
}

// Codes of int8 rows, as quantize_block stores them.
struct ArrangedCodes {
  uint8_t* out;
  int tokens, steps;
  Cleared cleared;
  int64_t row = 0;
  __device__ ArrangedCodes from_row(int64_t first) const {
    cleared.clear(blockIdx.x, gridDim.x);
    return {out, tokens, steps, cleared, first};
  }
  __device__ void four(int, int k, uint32_t codes) const {
    const int64_t place = row / tokens * steps + k / kStep;
    const int n = static_cast<int>(row % tokens), slab = k / 64 % 2 * 2 + k / 8 % 2, half = k / 4 % 2,
              i = k / 16 % 4 * 4;
    uint8_t* const to =
        out + place * (tokens * kStep) + slab * (tokens * 32) + n / 8 * 256 + half * 128 + n % 8 * 16;
    *reinterpret_cast<uint32_t*>(to + i) = codes;
  }
};

template <typename T>
size_t arranged_bytes(int64_t rows, int64_t k, int tokens) {
  return (rows + tokens - 1) / tokens * tokens * ((k + kStep - 1) / kStep * kStep) * sizeof(T);
}

// Rows of x start at multiples of 16 bytes; k is a multiple of 8.
template <typename T>
cudaError_t arrange(const T* x, T* out, int rows, int k, int tokens, const Cleared& cleared,
                    cudaStream_t stream) {
  Launch how;
  how.grid = dim3((k + kStep - 1) / kStep, (rows + tokens - 1) / tokens * (tokens / 8));
  how.block = dim3(kStep);
  how.overlap = true;
  return launch(how, stream, arrange_kernel<T>, x, out, rows, k, tokens, cleared);
}

}  // namespace zeta::cuda
