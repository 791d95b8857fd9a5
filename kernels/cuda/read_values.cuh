#pragma once

#include "kernels/cuda/numbers.cuh"
#include "kernels/cuda/values.h"

namespace zeta::cuda {

__device__ inline float read(const Values& values, int64_t i) {
  switch (values.dtype) {
    case Dtype::kHalf:
      return __half2float(static_cast<const __half*>(values.data)[i]);
    case Dtype::kBFloat16:
      return __bfloat162float(static_cast<const __nv_bfloat16*>(values.data)[i]);
    default:
      return static_cast<const float*>(values.data)[i];
  }
}

// A ternary layer's output from its exact sum. Rounded where training rounds, never fused: what was trained
// is served to the bit.
__device__ inline float ternary_value(int sum, float scale, float x_scale, const Values& bias, int64_t out) {
  const float value = __fmul_rn(static_cast<float>(sum), scale / x_scale);
  return bias.data ? __fadd_rn(value, read(bias, out)) : value;
}

}  // namespace zeta::cuda
