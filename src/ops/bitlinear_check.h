// What zeta::bitlinear's ops ask of their arguments, on every device.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string_view>

#include "src/ops/quantize_weight.h"

namespace zeta::ops {

// The dtype of the activation codes that the backward reads, where the precision quantises activations.
C10_EXPORT std::optional<at::ScalarType> activation_codes(Precision precision);

// Throw c10::Error naming the argument, its value and the limit. They work on symbolic shapes.
C10_EXPORT Precision check_bitlinear(const at::Tensor& x, const at::Tensor& weight,
                                     const std::optional<at::Tensor>& bias, std::string_view precision,
                                     int64_t group_size);
C10_EXPORT Precision check_bitlinear_backward(const at::Tensor& grad_out, const at::Tensor& x,
                                              const at::Tensor& weight, std::string_view precision,
                                              int64_t group_size, const std::optional<at::Tensor>& x_scale);

}  // namespace zeta::ops
