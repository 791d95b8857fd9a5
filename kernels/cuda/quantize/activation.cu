#include "kernels/cuda/packed_linear/quantize_rows.cuh"
#include "kernels/cuda/quantize/quantize.h"
#include "kernels/cuda/quantize/quotient.cuh"
#include "kernels/cuda/read_values.cuh"
#include "kernels/cuda/vectors.cuh"

namespace zeta::cuda {
namespace {

template <typename T>
cudaError_t quantize(const Values& x, int64_t rows, int columns, int8_t* codes, float* scale,
                     cudaStream_t stream) {
  Device device;
  if (const auto error = current_device(device)) return error;
  const auto* const values = static_cast<const T*>(x.data);
  const CodeRows by_rows{codes, columns};
  if (columns % 16 == 0)
    return quantize_rows<true>(values, rows, columns, columns, by_rows, scale, nullptr, device, stream);
  return quantize_rows<false>(values, rows, columns, columns, by_rows, scale, nullptr, device, stream);
}

// A block a row. Eight columns at once where they are a multiple of 8.
template <bool kVector>
__global__ void dequantize_kernel(const int8_t* codes, const float* scale, int columns, Output used) {
  const int64_t row = blockIdx.x;
  const Quotient quotient(scale[row]);
  constexpr int kSize = kVector ? 8 : 1;
  const int count = columns / kSize;
  for (int i = threadIdx.x; i < count; i += blockDim.x) {
    const int64_t at = row * count + i;
    if constexpr (kVector) {
      const uint2 bytes = reinterpret_cast<const uint2*>(codes)[at];
      float v[8];
#pragma unroll
      for (int j = 0; j < 8; ++j)
        v[j] = quotient.of(static_cast<float>(static_cast<int8_t>((j < 4 ? bytes.x : bytes.y) >> j % 4 * 8)));
      store_eight(used, at, v);
    } else {
      store_one(used, at, quotient.of(static_cast<float>(codes[at])));
    }
  }
}

}  // namespace

cudaError_t quantize_activation(const Values& x, int64_t rows, int64_t columns, int8_t* codes, float* scale,
                                cudaStream_t stream) {
  if (rows == 0) return cudaSuccess;
  const int width = static_cast<int>(columns);
  switch (x.dtype) {
    case Dtype::kHalf:
      return quantize<__half>(x, rows, width, codes, scale, stream);
    case Dtype::kBFloat16:
      return quantize<__nv_bfloat16>(x, rows, width, codes, scale, stream);
    default:
      return quantize<float>(x, rows, width, codes, scale, stream);
  }
}

cudaError_t dequantize_activation(const int8_t* codes, const float* scale, int64_t rows, int64_t columns,
                                  const Output& used, cudaStream_t stream) {
  if (rows == 0) return cudaSuccess;
  const auto kernel = columns % 8 == 0 ? dequantize_kernel<true> : dequantize_kernel<false>;
  const int64_t loads = columns % 8 == 0 ? columns / 8 : columns;
  const auto threads = static_cast<unsigned>(loads < 512 ? (loads + 31) / 32 * 32 : 512);
  kernel<<<static_cast<unsigned>(rows), threads, 0, stream>>>(codes, scale, static_cast<int>(columns), used);
  return cudaGetLastError();
}

}  // namespace zeta::cuda
