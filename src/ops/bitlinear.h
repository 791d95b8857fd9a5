// zeta::bitlinear: a linear layer whose weight is quantised on the fly, for quantisation-aware training.
//
//   y = x̂ · Ŵᵀ + bias
//
//   x       (…, in_features), any leading dimensions; float32, bfloat16, float16 or float64
//   weight  (out_features, in_features), x's dtype; or float32 with a 16-bit x
//   bias    (out_features), weight's dtype, or none
//   y       (…, out_features), contiguous, x's dtype
//
// Ŵ is what zeta::quantize_weight gives for precision and group_size; x̂ is x itself under "4bit", e4m3 with
// a scale for each token under "fp8", else int8 with one (BitNet b1.58, arXiv 2402.17764).
// docs/design/foundation.md has the formulas.
//
// Gradients are straight through (Bengio et al., arXiv 1308.3432): ∂x = ∂y · Ŵ, ∂weight = ∂yᵀ · x̂,
// ∂bias = Σ ∂y. Of x the forward keeps nothing if the weight asks for no gradient, else its codes where it is
// quantised, else x itself. The weight is quantised again in the backward, so that it may be replaced in
// between by the same values elsewhere (ZeRO-3). Under autocast x is cast and a float32 weight is not: it is
// quantised from the values that a checkpoint stores.
//
// Any device; vmap and double backward are refused by name. Bad arguments throw c10::Error naming the
// argument, its value and the limit.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <optional>
#include <string_view>
#include <tuple>

namespace zeta::ops {

// Thread-safe. Differentiable with respect to x, weight and bias.
C10_EXPORT at::Tensor bitlinear(const at::Tensor& x, const at::Tensor& weight,
                                const std::optional<at::Tensor>& bias, std::string_view precision,
                                int64_t group_size);

// y, and x as the backward reads it: codes of x's shape and a float32 scale for each token, x without its
// last dimension; both empty under a precision that does not quantise activations. Not differentiable itself.
C10_EXPORT std::tuple<at::Tensor, at::Tensor, at::Tensor> bitlinear_forward(
    const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
    std::string_view precision, int64_t group_size);

// The gradients of x, weight and bias (the latter in weight's dtype) that output_mask asks for; others
// undefined. With x_scale, x is the codes of bitlinear_forward.
C10_EXPORT std::tuple<at::Tensor, at::Tensor, at::Tensor> bitlinear_backward(
    const at::Tensor& grad_out, const at::Tensor& x, const at::Tensor& weight, std::string_view precision,
    int64_t group_size, std::array<bool, 3> output_mask, const std::optional<at::Tensor>& x_scale = {});

}  // namespace zeta::ops
