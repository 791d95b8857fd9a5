// zeta::bitlinear's ops in ATen, on the quantisers of the tensors' device: what runs where no kernel of ours
// does. Arguments and results are those of src/ops/bitlinear.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <optional>
#include <string_view>
#include <tuple>

namespace zeta::ops {

C10_EXPORT at::Tensor bitlinear_aten(const at::Tensor& x, const at::Tensor& weight,
                                     const std::optional<at::Tensor>& bias, std::string_view precision,
                                     int64_t group_size);
C10_EXPORT std::tuple<at::Tensor, at::Tensor, at::Tensor> bitlinear_forward_aten(
    const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
    std::string_view precision, int64_t group_size);
C10_EXPORT std::tuple<at::Tensor, at::Tensor, at::Tensor> bitlinear_backward_aten(
    const at::Tensor& grad_out, const at::Tensor& x, const at::Tensor& weight, std::string_view precision,
    int64_t group_size, std::array<bool, 3> output_mask, const std::optional<at::Tensor>& x_scale);

}  // namespace zeta::ops
