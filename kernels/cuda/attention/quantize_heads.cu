#include "kernels/cuda/attention/quantize_heads.h"

#include <cuda_fp8.h>

#include <algorithm>

#include "kernels/cuda/quantize/quotient.cuh"
#include "kernels/cuda/vectors.cuh"

namespace zeta::cuda {
namespace {

constexpr int kThreads = 256, kUnderWay = 4;  // loads of a thread at once
constexpr float kGreatest = 448;              // of e4m3's numbers
constexpr float kLeast = 0x1p-126f;

struct Tensors {
  HeadsToQuantize heads[3];
  int num_kv_heads;
  uint32_t* greatest;  // (3, batch · num_kv_heads)
};

// One tensor's heads of blockIdx.y, as vectors of eight values.
struct Vectors {
  const HeadsToQuantize& t;
  int64_t batch, kv_head, count;
  int across;  // vectors of a row of all the heads

  __device__ Vectors(const HeadsToQuantize& heads, int num_kv_heads)
      : t(heads),
        batch(blockIdx.y / num_kv_heads),
        kv_head(blockIdx.y % num_kv_heads),
        across(static_cast<int>(t.group * t.dim / 8)) {
    count = t.seq * across;
  }
  __device__ RawEight load(int64_t i) const {
    const int64_t row = i / across;
    const int column = static_cast<int>(i - row * across) * 8, dim = static_cast<int>(t.dim);
    const int64_t head = kv_head * t.group + column / dim;
    const int64_t at = batch * t.batch_stride + row * t.seq_stride + head * t.head_stride + column % dim;
    return load_eight(t.values, at / 8, i < count);
  }
  __device__ uint2* codes(int64_t i, int num_kv_heads) const {
    const int64_t row = i / across;
    return reinterpret_cast<uint2*>(t.codes) + ((batch * t.seq + row) * num_kv_heads + kv_head) * across +
           (i - row * across);
  }
};

// Greatest magnitudes as bits, whose order is that of the numbers, with NaN above all.
__global__ void __launch_bounds__(kThreads) greatest_kernel(const Tensors tensors) {
  const Vectors its(tensors.heads[blockIdx.z], tensors.num_kv_heads);
  const int64_t step = int64_t{gridDim.x} * kThreads * kUnderWay;
  uint32_t most = 0;
  for (int64_t first = int64_t{blockIdx.x} * kThreads * kUnderWay; first < its.count; first += step) {
    RawEight raw[kUnderWay];
#pragma unroll
    for (int j = 0; j < kUnderWay; ++j) raw[j] = its.load(first + j * kThreads + threadIdx.x);
#pragma unroll
    for (const RawEight& r : raw) most = max(most, __float_as_uint(greatest(r, its.t.values.dtype)));
  }
  most = __reduce_max_sync(~0u, most);
  if (threadIdx.x % 32 == 0 && most > 0)
    atomicMax(tensors.greatest + blockIdx.z * gridDim.y + blockIdx.y, most);
}

__global__ void __launch_bounds__(kThreads) code_kernel(const Tensors tensors) {
  const Vectors its(tensors.heads[blockIdx.z], tensors.num_kv_heads);
  const float most = __uint_as_float(tensors.greatest[blockIdx.z * gridDim.y + blockIdx.y]),
              scale = larger(__fdiv_rn(most, kGreatest), kLeast);
  if (blockIdx.x == 0 && threadIdx.x == 0) its.t.descale[blockIdx.y] = scale;
  const Quotient quotient(scale, most);
  const int64_t step = int64_t{gridDim.x} * kThreads * kUnderWay;
  for (int64_t first = int64_t{blockIdx.x} * kThreads * kUnderWay; first < its.count; first += step) {
    RawEight raw[kUnderWay];
#pragma unroll
    for (int j = 0; j < kUnderWay; ++j) raw[j] = its.load(first + j * kThreads + threadIdx.x);
#pragma unroll
    for (int j = 0; j < kUnderWay; ++j) {
      const int64_t i = first + j * kThreads + threadIdx.x;
      if (i >= its.count) break;
      float v[8];
      to_floats(raw[j], its.t.values.dtype, v);
      quotient.divide(v);
      uint32_t pairs[4];
#pragma unroll
      for (int c = 0; c < 4; ++c)
        pairs[c] = __nv_cvt_float2_to_fp8x2({v[2 * c], v[2 * c + 1]}, __NV_SATFINITE, __NV_E4M3);
      *its.codes(i, tensors.num_kv_heads) = {pairs[0] | pairs[1] << 16, pairs[2] | pairs[3] << 16};
    }
  }
}

}  // namespace

cudaError_t quantize_heads(const std::array<HeadsToQuantize, 3>& heads, int64_t batch, int64_t num_kv_heads,
                           void* workspace, cudaStream_t stream) {
  const auto bytes = static_cast<size_t>(quantize_heads_workspace(batch, num_kv_heads));
  if (const auto error = cudaMemsetAsync(workspace, 0, bytes, stream)) return error;
  int64_t vectors = 0;
  for (const HeadsToQuantize& t : heads) vectors = std::max(vectors, t.seq * t.group * t.dim / 8);
  constexpr int64_t kPiece = kThreads * kUnderWay;
  const dim3 grid(static_cast<unsigned>(std::min<int64_t>((vectors + kPiece - 1) / kPiece, 1024)),
                  static_cast<unsigned>(batch * num_kv_heads), 3);
  const Tensors tensors = {
      {heads[0], heads[1], heads[2]}, static_cast<int>(num_kv_heads), static_cast<uint32_t*>(workspace)};
  greatest_kernel<<<grid, kThreads, 0, stream>>>(tensors);
  code_kernel<<<grid, kThreads, 0, stream>>>(tensors);
  return cudaGetLastError();
}

}  // namespace zeta::cuda
