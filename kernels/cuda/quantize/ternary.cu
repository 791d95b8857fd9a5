#include "kernels/cuda/quantize/blocks.cuh"
#include "kernels/cuda/quantize/codes.cuh"
#include "kernels/cuda/quantize/quantize.h"
#include "kernels/cuda/read_values.cuh"
#include "kernels/cuda/vectors.cuh"

namespace zeta::cuda {
namespace {

constexpr int kParts = kTernaryWorkspace / sizeof(double);
constexpr int kWarps = kQuantizeThreads / 32;

// The sum of the block's values, the same in every thread.
__device__ double block_sum(double v) {
  __shared__ double of_warp[kWarps];
  v = warp_sum(v);
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = v;
  __syncthreads();
  double sum = 0;
#pragma unroll
  for (const double warp : of_warp) sum += warp;
  return sum;
}

// partial (kParts): sums of |w| over slices that depend on n alone.
__global__ void __launch_bounds__(kQuantizeThreads) abs_sum_kernel(Values w, int64_t n, double* partial) {
  const int64_t vectors = n / 8, stride = int64_t{kParts} * kQuantizeThreads;
  const int64_t thread = int64_t{blockIdx.x} * kQuantizeThreads + threadIdx.x;
  double sum = 0;
  for (int64_t first = thread; first < vectors; first += kVectorsUnderWay * stride) {
    RawEight raw[kVectorsUnderWay];
#pragma unroll
    for (int j = 0; j < kVectorsUnderWay; ++j)
      raw[j] = load_eight(w, first + j * stride, first + j * stride < vectors);
#pragma unroll
    for (int j = 0; j < kVectorsUnderWay; ++j) {
      float v[8];
      to_floats(raw[j], w.dtype, v);
#pragma unroll
      for (int i = 0; i < 8; ++i) sum += static_cast<double>(fabsf(v[i]));
    }
  }
  if (thread < n % 8) sum += static_cast<double>(fabsf(read(w, 8 * vectors + thread)));
  sum = block_sum(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

struct Ternary {
  float scale, inverse;
  // Not yet rounded.
  __device__ float code(float w) const { return fminf(fmaxf(__fmul_rn(w, inverse), -1.0f), 1.0f); }
};

__device__ Ternary ternary_scale(const double* partial, int64_t n, Dtype master) {
  double sum = 0;
#pragma unroll
  for (int i = 0; i < kParts / kQuantizeThreads; ++i) sum += partial[i * kQuantizeThreads + threadIdx.x];
  const auto mean = static_cast<float>(block_sum(sum) / static_cast<double>(n));
  const float scale = round_to(master, larger(mean, 1e-5f));
  return {scale, __fdiv_rn(1.0f, scale)};
}

__global__ void __launch_bounds__(kQuantizeThreads)
    ternary_kernel(Values w, int64_t n, const double* partial, Dtype master, int8_t* codes, float* scale,
                   Output used) {
  const Ternary by = ternary_scale(partial, n, master);
  const int64_t vectors = n / 8, stride = int64_t{gridDim.x} * kQuantizeThreads;
  const int64_t thread = int64_t{blockIdx.x} * kQuantizeThreads + threadIdx.x;
  if (thread == 0 && scale) *scale = by.scale;
  for (int64_t first = thread; first < vectors; first += kVectorsUnderWay * stride) {
    RawEight raw[kVectorsUnderWay];
#pragma unroll
    for (int j = 0; j < kVectorsUnderWay; ++j)
      raw[j] = load_eight(w, first + j * stride, first + j * stride < vectors);
#pragma unroll
    for (int j = 0; j < kVectorsUnderWay; ++j) {
      const int64_t at = first + j * stride;
      if (at >= vectors) break;
      float v[8];
      EightCodes eight;
      to_floats(raw[j], w.dtype, v);
#pragma unroll
      for (int i = 0; i < 8; ++i) eight.set(i, by.code(v[i]));
      if (codes) reinterpret_cast<uint2*>(codes)[at] = eight.bytes();
      if (!used.data) continue;
#pragma unroll
      for (int i = 0; i < 8; ++i) v[i] = eight.value(i) * by.scale;
      store_eight(used, at, v);
    }
  }
  if (thread < n % 8) {
    const int64_t at = 8 * vectors + thread;
    const float code = rintf(by.code(read(w, at)));
    if (codes) codes[at] = static_cast<int8_t>(code);
    if (used.data) store_one(used, at, code * by.scale);
  }
}

}  // namespace

cudaError_t quantize_ternary(const Values& w, int64_t n, Dtype master, int8_t* codes, float* scale,
                             const Output& used, void* workspace, cudaStream_t stream) {
  auto* const partial = static_cast<double*>(workspace);
  abs_sum_kernel<<<kParts, kQuantizeThreads, 0, stream>>>(w, n, partial);
  if (const auto error = cudaGetLastError()) return error;
  ternary_kernel<<<blocks_for(n / 8), kQuantizeThreads, 0, stream>>>(w, n, partial, master, codes, scale,
                                                                     used);
  return cudaGetLastError();
}

}  // namespace zeta::cuda
