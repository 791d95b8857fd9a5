// Root mean square layer normalisation (arXiv 1910.07467): y = w · x / sqrt(mean(x²) + ε), in fp32, rounded
// to x's dtype before the multiplication by w, as transformers' LlamaRMSNorm does.
#pragma once

#include <ATen/core/Tensor.h>

namespace zeta::nn {

class RmsNorm {
 public:
  RmsNorm() = default;
  RmsNorm(at::Tensor weight, double eps) : weight_(std::move(weight)), eps_(eps) {}

  // x: contiguous (tokens, hidden), of the weight's dtype.
  at::Tensor operator()(const at::Tensor& x) const;
  // x += delta in place, then the same; one pass over memory instead of two.
  at::Tensor add_and_norm(at::Tensor& x, const at::Tensor& delta) const;

 private:
  at::Tensor run(const at::Tensor& x, const at::Tensor* delta) const;

  at::Tensor weight_;  // (hidden)
  double eps_ = 0.0;
};

}  // namespace zeta::nn
