#include "kernels/cuda/packed_linear/packed_linear.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>

namespace zeta::cuda {
namespace {

constexpr int kWarp = 32;
constexpr int kWarpsPerBlock = 4;
constexpr int kRowTile = 8;  // rows of x that share one pass over the weights

__device__ float to_float(float v) { return v; }
__device__ float to_float(__half v) { return __half2float(v); }
__device__ float to_float(__nv_bfloat16 v) { return __bfloat162float(v); }
template <typename T>
__device__ T from_float(float v);
template <>
__device__ float from_float<float>(float v) {
  return v;
}
template <>
__device__ __half from_float<__half>(float v) {
  return __float2half_rn(v);
}
template <>
__device__ __nv_bfloat16 from_float<__nv_bfloat16>(float v) {
  return __float2bfloat16_rn(v);
}

// fmaxf drops NaN; here it wins, so that a bad activation shows in the output.
__device__ float larger(float a, float b) { return a != a || a > b ? a : b; }
__device__ float warp_larger(float v) {
  for (int d = kWarp / 2; d > 0; d /= 2) v = larger(v, __shfl_xor_sync(~0u, v, d));
  return v;
}
template <typename V>
__device__ V warp_sum(V v) {
  for (int d = kWarp / 2; d > 0; d /= 2) v += __shfl_xor_sync(~0u, v, d);
  return v;
}

// One warp a row.
template <typename T>
__global__ void quantize_rows_kernel(const T* x, int64_t rows, int64_t k, int64_t stride, int8_t* q,
                                     float* scale, int32_t* sum) {
  const int64_t row = int64_t{blockIdx.x} * kWarpsPerBlock + threadIdx.y;
  if (row >= rows) return;
  x += row * k;
  q += row * stride;
  float largest = 0;
  for (int64_t i = threadIdx.x; i < k; i += kWarp) largest = larger(largest, fabsf(to_float(x[i])));
  const float s = 127.0f * (1.0f / larger(warp_larger(largest), 1e-5f));
  int32_t total = 0;
  for (int64_t i = threadIdx.x; i < stride; i += kWarp) {
    const float value = i < k ? to_float(x[i]) : 0.0f;
    const int code = static_cast<int>(fminf(fmaxf(rintf(value * s), -128.0f), 127.0f));
    q[i] = static_cast<int8_t>(code);
    total += code;
  }
  total = warp_sum(total);
  if (threadIdx.x == 0) {
    scale[row] = s;
    sum[row] = total;
  }
}

// Four bytes of a packed row, the i-th four. Rows whose length is no multiple of four are read byte by byte.
template <bool kWholeWords>
__device__ int packed_word(const uint8_t* row, int64_t i, int64_t k) {
  if constexpr (kWholeWords) return reinterpret_cast<const int*>(row)[i];
  uint32_t word = 0;
  for (int64_t j = 0; j < min(int64_t{4}, k - 4 * i); ++j) word |= uint32_t{row[4 * i + j]} << (8 * j);
  return static_cast<int>(word);
}

// One warp a packed row, that is four output features, for kRowTile rows of x at a time. Four bytes of one
// packed row hold four input features of each of the four outputs; a shift and a mask make them operands of
// dp4a.
template <typename T, bool kWholeWords>
__global__ void ternary_kernel(const int8_t* q, const float* x_scale, const int32_t* sum,
                               const uint8_t* packed, const float* scale, const float* bias, T* y,
                               int64_t rows, int64_t k, int64_t n) {
  const int64_t packed_row = int64_t{blockIdx.x} * kWarpsPerBlock + threadIdx.y;
  if (packed_row >= n / 4) return;
  packed += packed_row * k;
  const int64_t words = (k + 3) / 4;
  for (int64_t row0 = int64_t{blockIdx.y} * kRowTile; row0 < rows; row0 += int64_t{gridDim.y} * kRowTile) {
    const int tile = static_cast<int>(min(int64_t{kRowTile}, rows - row0));
    int acc[kRowTile][4] = {};
    for (int64_t i = threadIdx.x; i < words; i += kWarp) {
      const int word = packed_word<kWholeWords>(packed, i, k);
      int codes[4];
      for (int s = 0; s < 4; ++s) codes[s] = (word >> (2 * s)) & 0x03030303;
#pragma unroll
      for (int r = 0; r < kRowTile; ++r) {
        if (r >= tile) break;
        const int x4 = reinterpret_cast<const int*>(q)[(row0 + r) * words + i];
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
        const int64_t out = packed_row + s * (n / 4);
        // Rounded where training rounds, never fused: what was trained is served to the bit.
        const float value = __fmul_rn(static_cast<float>(total), *scale / x_scale[row]);
        y[row * n + out] = from_float<T>(bias ? __fadd_rn(value, bias[out]) : value);
      }
    }
  }
}

// One warp an output feature, for kRowTile rows of x at a time.
template <typename T>
__global__ void int4_kernel(const T* x, const int32_t* packed, const float* scale, const float* bias, T* y,
                            int64_t rows, int64_t k, int64_t n, int64_t group_size) {
  const int64_t out = int64_t{blockIdx.x} * kWarpsPerBlock + threadIdx.y;
  if (out >= n) return;
  packed += out * (k / 8);
  scale += out * (k / group_size);
  for (int64_t row0 = int64_t{blockIdx.y} * kRowTile; row0 < rows; row0 += int64_t{gridDim.y} * kRowTile) {
    const int tile = static_cast<int>(min(int64_t{kRowTile}, rows - row0));
    float acc[kRowTile] = {};
    for (int64_t i = threadIdx.x; i < k / 8; i += kWarp) {
      const uint32_t word = static_cast<uint32_t>(packed[i]);
      const float s = scale[i * 8 / group_size];
      float w[8];
      for (int j = 0; j < 8; ++j)
        w[j] = static_cast<float>(static_cast<int>((word >> (4 * j)) & 15u) - 8) * s;
#pragma unroll
      for (int r = 0; r < kRowTile; ++r) {
        if (r >= tile) break;
        const T* xr = x + (row0 + r) * k + i * 8;
        for (int j = 0; j < 8; ++j) acc[r] += w[j] * to_float(xr[j]);
      }
    }
#pragma unroll
    for (int r = 0; r < kRowTile; ++r) {
      if (r >= tile) break;
      const float total = warp_sum(acc[r]);
      if (threadIdx.x == 0) y[(row0 + r) * n + out] = from_float<T>(bias ? total + bias[out] : total);
    }
  }
}

constexpr dim3 kBlock(kWarp, kWarpsPerBlock);
unsigned blocks(int64_t items, int64_t per_block) {
  return static_cast<unsigned>((items + per_block - 1) / per_block);
}
// CUDA's limit in y; kernels take the row tiles beyond it in turn.
unsigned row_blocks(int64_t rows) { return std::min(blocks(rows, kRowTile), 65535u); }

}  // namespace

template <typename T>
cudaError_t quantize_rows(const T* x, int64_t rows, int64_t in_features, int64_t stride, int8_t* q,
                          float* scale, int32_t* sum, cudaStream_t stream) {
  if (rows == 0) return cudaSuccess;
  quantize_rows_kernel<<<blocks(rows, kWarpsPerBlock), kBlock, 0, stream>>>(x, rows, in_features, stride, q,
                                                                            scale, sum);
  return cudaGetLastError();
}

template <typename T>
cudaError_t ternary_linear(const int8_t* q, const float* x_scale, const int32_t* sum, const uint8_t* packed,
                           const float* scale, const float* bias, T* y, int64_t rows, int64_t in_features,
                           int64_t out_features, cudaStream_t stream) {
  if (rows == 0) return cudaSuccess;
  const bool whole_words = in_features % 4 == 0 && reinterpret_cast<uintptr_t>(packed) % 4 == 0;
  const auto kernel = whole_words ? ternary_kernel<T, true> : ternary_kernel<T, false>;
  kernel<<<dim3(blocks(out_features / 4, kWarpsPerBlock), row_blocks(rows)), kBlock, 0, stream>>>(
      q, x_scale, sum, packed, scale, bias, y, rows, in_features, out_features);
  return cudaGetLastError();
}

template <typename T>
cudaError_t int4_linear(const T* x, const int32_t* packed, const float* scale, const float* bias, T* y,
                        int64_t rows, int64_t in_features, int64_t out_features, int64_t group_size,
                        cudaStream_t stream) {
  if (rows == 0) return cudaSuccess;
  int4_kernel<<<dim3(blocks(out_features, kWarpsPerBlock), row_blocks(rows)), kBlock, 0, stream>>>(
      x, packed, scale, bias, y, rows, in_features, out_features, group_size);
  return cudaGetLastError();
}

#define ZETA_INSTANTIATE(T)                                                                              \
  template cudaError_t quantize_rows<T>(const T*, int64_t, int64_t, int64_t, int8_t*, float*, int32_t*,  \
                                        cudaStream_t);                                                   \
  template cudaError_t ternary_linear<T>(const int8_t*, const float*, const int32_t*, const uint8_t*,    \
                                         const float*, const float*, T*, int64_t, int64_t, int64_t,      \
                                         cudaStream_t);                                                  \
  template cudaError_t int4_linear<T>(const T*, const int32_t*, const float*, const float*, T*, int64_t, \
                                      int64_t, int64_t, int64_t, cudaStream_t);
ZETA_INSTANTIATE(float)
ZETA_INSTANTIATE(__half)
ZETA_INSTANTIATE(__nv_bfloat16)
#undef ZETA_INSTANTIATE

}  // namespace zeta::cuda
