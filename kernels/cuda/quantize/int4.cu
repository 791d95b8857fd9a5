#include "kernels/cuda/quantize/blocks.cuh"
#include "kernels/cuda/quantize/codes.cuh"
#include "kernels/cuda/quantize/quantize.h"
#include "kernels/cuda/quantize/quotient.cuh"
#include "kernels/cuda/vectors.cuh"

namespace zeta::cuda {
namespace {

__device__ float int4_scale(float most) {
  return __bfloat162float(__float2bfloat16_rn(larger(__fdiv_rn(most, 7.5f), 0x1p-126f)));
}

// Quantises a vector of a group and writes what is wanted of it.
__device__ void write(const RawEight& raw, Dtype dtype, const Quotient& quotient, float scale, int64_t at,
                      int8_t* codes, const Output& used) {
  float v[8];
  EightCodes eight;
  to_floats(raw, dtype, v);
  quotient.divide(v);
#pragma unroll
  for (int i = 0; i < 8; ++i) eight.set(i, fminf(fmaxf(v[i], -8.0f), 7.0f));
  if (codes) reinterpret_cast<uint2*>(codes)[at] = eight.bytes();
  if (!used.data) return;
#pragma unroll
  for (int i = 0; i < 8; ++i) v[i] = eight.value(i) * scale;
  store_eight(used, at, v);
}

// Groups of `lanes` vectors, a power of 2 up to 32: each lies in neighbouring lanes of a warp.
__global__ void __launch_bounds__(kQuantizeThreads)
    int4_kernel(Values w, int64_t vectors, int lanes, int8_t* codes, float* scales, Output used) {
  const int64_t stride = int64_t{gridDim.x} * kQuantizeThreads;
  const int64_t begin = int64_t{blockIdx.x} * kQuantizeThreads;
  for (int64_t first = begin; first < vectors; first += kVectorsUnderWay * stride) {  // whole warps go round
    RawEight raw[kVectorsUnderWay];
#pragma unroll
    for (int j = 0; j < kVectorsUnderWay; ++j) {
      const int64_t at = first + j * stride + threadIdx.x;
      raw[j] = load_eight(w, at, at < vectors);
    }
#pragma unroll
    for (int j = 0; j < kVectorsUnderWay; ++j) {
      const int64_t at = first + j * stride + threadIdx.x;
      float most = greatest(raw[j], w.dtype);
      for (int d = lanes / 2; d > 0; d /= 2) most = larger(__shfl_xor_sync(~0u, most, d), most);
      if (at >= vectors) continue;
      const float scale = int4_scale(most);
      if (scales && at % lanes == 0) scales[at / lanes] = scale;
      write(raw[j], w.dtype, Quotient(scale, most), scale, at, codes, used);
    }
  }
}

// Groups of any number of vectors, a warp each; w is read twice, the second time from the cache.
__global__ void __launch_bounds__(kQuantizeThreads)
    int4_any_kernel(Values w, int64_t groups, int64_t length, int8_t* codes, float* scales, Output used) {
  const int lane = threadIdx.x % 32, warps = kQuantizeThreads / 32;
  for (int64_t group = int64_t{blockIdx.x} * warps + threadIdx.x / 32; group < groups;
       group += int64_t{gridDim.x} * warps) {
    float most = 0;
    for (int64_t i = lane; i < length; i += 32)
      most = larger(greatest(load_eight(w, group * length + i, true), w.dtype), most);
    for (int d = 16; d > 0; d /= 2) most = larger(__shfl_xor_sync(~0u, most, d), most);
    const float scale = int4_scale(most);
    if (scales && lane == 0) scales[group] = scale;
    const Quotient quotient(scale, most);
    for (int64_t i = lane; i < length; i += 32) {
      const int64_t at = group * length + i;
      write(load_eight(w, at, true), w.dtype, quotient, scale, at, codes, used);
    }
  }
}

}  // namespace

cudaError_t quantize_int4(const Values& w, int64_t n, int64_t group_size, int8_t* codes, float* scale,
                          const Output& used, cudaStream_t stream) {
  const int64_t vectors = n / 8, length = group_size / 8;
  if (length <= 32 && (length & (length - 1)) == 0)
    int4_kernel<<<blocks_for(vectors), kQuantizeThreads, 0, stream>>>(w, vectors, static_cast<int>(length),
                                                                      codes, scale, used);
  else
    int4_any_kernel<<<blocks_for(vectors), kQuantizeThreads, 0, stream>>>(w, vectors / length, length, codes,
                                                                          scale, used);
  return cudaGetLastError();
}

}  // namespace zeta::cuda
