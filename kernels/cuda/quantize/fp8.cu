#include <cuda_fp8.h>

#include "kernels/cuda/quantize/dequantize.cuh"
#include "kernels/cuda/quantize/quantize.h"
#include "kernels/cuda/quantize/quotient.cuh"
#include "kernels/cuda/quantize/rows.cuh"

namespace zeta::cuda {
namespace {

constexpr float kGreatest = 448;  // of e4m3's numbers

__device__ uint32_t code_of(float v) { return __nv_cvt_float_to_fp8(v, __NV_SATFINITE, __NV_E4M3); }
__device__ uint32_t codes_of(float low, float high) {
  return __nv_cvt_float2_to_fp8x2({low, high}, __NV_SATFINITE, __NV_E4M3);
}
__device__ float value_of(uint32_t code) {
  return __half2float(__half(__nv_cvt_fp8_to_halfraw(static_cast<__nv_fp8_storage_t>(code), __NV_E4M3)));
}

struct Fp8Row {
  struct Target {
    uint8_t* codes;
    float* scale;
    Output used;
    bool round_scale;
  };
  __device__ static float scale_of(float most, bool rounded) {
    const float scale = larger(__fdiv_rn(most, kGreatest), 0x1p-126f);
    return rounded ? __bfloat162float(__float2bfloat16_rn(scale)) : scale;
  }
  __device__ Fp8Row(const Target& target, int64_t row, float most)
      : to(target), scale(scale_of(most, target.round_scale)), quotient(scale, most) {
    if (threadIdx.x == 0 && to.scale) to.scale[row] = scale;
  }
  __device__ void eight(const float (&v)[8], int64_t at) const {
    uint32_t pairs[4];
    float used[8];
#pragma unroll
    for (int i = 0; i < 8; ++i) used[i] = v[i];
    quotient.divide(used);
#pragma unroll
    for (int i = 0; i < 4; ++i) pairs[i] = codes_of(used[2 * i], used[2 * i + 1]);
    if (to.codes)
      reinterpret_cast<uint2*>(to.codes)[at] = {pairs[0] | pairs[1] << 16, pairs[2] | pairs[3] << 16};
    if (!to.used.data) return;
#pragma unroll
    for (int i = 0; i < 8; ++i) used[i] = value_of(pairs[i / 2] >> i % 2 * 8 & 0xff) * scale;
    store_eight(to.used, at, used);
  }
  __device__ void one(float v, int64_t at) const {
    float q[1] = {v};
    quotient.divide(q);
    const uint32_t code = code_of(q[0]);
    if (to.codes) to.codes[at] = static_cast<uint8_t>(code);
    if (to.used.data) store_one(to.used, at, value_of(code) * scale);
  }
  Target to;
  float scale;
  Quotient quotient;
};

struct Fp8Value {
  float scale;
  __device__ explicit Fp8Value(float scale_) : scale(scale_) {}
  template <int kCount>
  __device__ void of(const uint8_t (&bytes)[kCount], float (&v)[kCount]) const {
#pragma unroll
    for (int i = 0; i < kCount; ++i) v[i] = value_of(bytes[i]) * scale;
  }
};

}  // namespace

cudaError_t quantize_fp8(const Values& x, int64_t rows, int64_t columns, bool round_scale, uint8_t* codes,
                         float* scale, const Output& used, cudaStream_t stream) {
  return quantize_rows_once<Fp8Row>(x, rows, columns, {codes, scale, used, round_scale}, stream);
}

cudaError_t dequantize_fp8(const uint8_t* codes, const float* scale, int64_t rows, int64_t columns,
                           const Output& used, cudaStream_t stream) {
  return dequantize_rows<Fp8Value>(codes, scale, rows, columns, used, stream);
}

}  // namespace zeta::cuda
