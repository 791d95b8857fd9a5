#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/packed_linear/packed_linear.h"
#include "kernels/cuda/read_values.cuh"

namespace zeta::cuda {
namespace {

constexpr int kThreads = 256;

template <typename T>
struct alignas(8 * sizeof(T)) Eight {
  T values[8];
};

// A word a thread: eight values of a row.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    unpack_kernel(Int4Linear p, int64_t first_word, int64_t words, Eight<T>* out) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= words) return;
  const int64_t at = first_word + i;
  const uint32_t word = reinterpret_cast<const uint32_t*>(p.packed)[at];
  const float scale = read(p.scale, at * 8 / p.group_size);
  Eight<T> eight;
#pragma unroll
  for (int j = 0; j < 8; ++j)
    eight.values[j] = from_float<T>(static_cast<float>(static_cast<int>(word >> (4 * j) & 15) - 8) * scale);
  out[i] = eight;
}

}  // namespace

template <typename T>
cudaError_t unpack(const Int4Linear& layer, int64_t first, int64_t count, T* out, cudaStream_t stream) {
  const int64_t words_of_row = layer.in_features / 8, words = count * words_of_row;
  Launch how;
  how.grid = dim3(static_cast<unsigned>((words + kThreads - 1) / kThreads));
  how.block = dim3(kThreads);
  return launch(how, stream, unpack_kernel<T>, layer, first * words_of_row, words,
                reinterpret_cast<Eight<T>*>(out));
}

template cudaError_t unpack(const Int4Linear&, int64_t, int64_t, float*, cudaStream_t);
template cudaError_t unpack(const Int4Linear&, int64_t, int64_t, __half*, cudaStream_t);
template cudaError_t unpack(const Int4Linear&, int64_t, int64_t, __nv_bfloat16*, cudaStream_t);

}  // namespace zeta::cuda
