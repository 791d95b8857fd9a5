// Shapes that every linear op shares.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/DimVector.h>

#include <optional>

namespace zeta::ops {

inline void check_linear_shapes(const at::Tensor& x, const std::optional<at::Tensor>& bias,
                                const c10::SymInt& in_features, const c10::SymInt& out_features) {
  TORCH_CHECK(x.dim() >= 1, "expected x of at least 1 dimension (…, in_features), got a scalar");
  TORCH_SYM_CHECK(x.sym_size(-1).sym_eq(in_features), "expected x of ", in_features, " features, got ",
                  x.sym_size(-1));
  if (!bias) return;
  TORCH_CHECK(bias->dim() == 1, "expected bias of 1 dimension (out_features), got ", bias->dim());
  TORCH_SYM_CHECK(bias->sym_size(0).sym_eq(out_features), "expected bias of ", out_features,
                  " features, got ", bias->sym_size(0));
  TORCH_CHECK(bias->device() == x.device(), "expected bias on ", x.device(), ", where x is, got ",
              bias->device());
}

// x's sizes with out_features in place of the last.
inline c10::SymDimVector linear_output_sizes(const at::Tensor& x, const c10::SymInt& out_features) {
  c10::SymDimVector sizes(x.sym_sizes().begin(), x.sym_sizes().end());
  sizes.back() = out_features;
  return sizes;
}

}  // namespace zeta::ops
