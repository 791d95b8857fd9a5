// Tensors on a GPU as our kernels take them.
#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/cuda/values.h"

namespace zeta::ops {

inline cuda::Dtype cuda_dtype(at::ScalarType type) {
  return type == at::kHalf       ? cuda::Dtype::kHalf
         : type == at::kBFloat16 ? cuda::Dtype::kBFloat16
                                 : cuda::Dtype::kFloat;
}
inline cuda::Values cuda_values(const at::Tensor& tensor) {
  return {tensor.const_data_ptr(), cuda_dtype(tensor.scalar_type())};
}
inline cuda::Output cuda_output(at::Tensor& tensor) {
  return {tensor.mutable_data_ptr(), cuda_dtype(tensor.scalar_type())};
}

// Kernels load 16 bytes at once, where a slice of a larger tensor need not start at 16.
inline at::Tensor aligned(const at::Tensor& tensor) {
  const at::Tensor whole = tensor.contiguous();
  return reinterpret_cast<uintptr_t>(whole.const_data_ptr()) % 16 == 0 ? whole : whole.clone();
}

}  // namespace zeta::ops
