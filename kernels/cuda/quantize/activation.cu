#include "kernels/cuda/packed_linear/quantize.cuh"
#include "kernels/cuda/quantize/dequantize.cuh"
#include "kernels/cuda/quantize/quantize.h"
#include "kernels/cuda/quantize/quotient.cuh"
#include "kernels/cuda/quantize/rows.cuh"

namespace zeta::cuda {
namespace {

__device__ float scale_of(float most) { return activation_scale(__float_as_uint(most)); }

struct Int8Row {
  struct Target {
    int8_t* codes;
    float* scale;
  };
  __device__ Int8Row(const Target& target, int64_t row, float most)
      : codes(target.codes), scale(scale_of(most)) {
    if (threadIdx.x == 0) target.scale[row] = scale;
  }
  __device__ void eight(const float (&v)[8], int64_t at) const {
    reinterpret_cast<uint2*>(codes)[at] = {quantize_four(v, scale), quantize_four(v + 4, scale)};
  }
  __device__ void one(float v, int64_t at) const {
    codes[at] = static_cast<int8_t>(quantize_value(v, scale));
  }
  int8_t* codes;
  float scale;
};

struct Int8Value {
  Quotient quotient;
  __device__ explicit Int8Value(float scale) : quotient(scale, 128) {}
  template <int kCount>
  __device__ void of(const uint8_t (&bytes)[kCount], float (&v)[kCount]) const {
#pragma unroll
    for (int i = 0; i < kCount; ++i) v[i] = static_cast<float>(static_cast<int8_t>(bytes[i]));
    quotient.divide(v);
  }
};

}  // namespace

cudaError_t quantize_activation(const Values& x, int64_t rows, int64_t columns, int8_t* codes, float* scale,
                                cudaStream_t stream) {
  return quantize_rows_once<Int8Row>(x, rows, columns, {codes, scale}, stream);
}

cudaError_t dequantize_activation(const int8_t* codes, const float* scale, int64_t rows, int64_t columns,
                                  const Output& used, cudaStream_t stream) {
  return dequantize_rows<Int8Value>(reinterpret_cast<const uint8_t*>(codes), scale, rows, columns, used,
                                    stream);
}

}  // namespace zeta::cuda
