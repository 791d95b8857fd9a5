// The formulas of 1bit, 2bit and 8bit weights in ATen, for every device: docs/design/foundation.md.
#pragma once

#include <ATen/core/Tensor.h>

#include <tuple>

#include "src/ops/quantize_weight.h"

namespace zeta::ops {

// Whether quantize_levels has the precision's formula.
C10_EXPORT bool has_levels(Precision precision);

// w (rows, columns) float32, contiguous, of a weight that had `dtype`: codes and scale of
// zeta::quantize_weight.
C10_EXPORT std::tuple<at::Tensor, at::Tensor> quantize_levels(const at::Tensor& w, Precision precision,
                                                              at::ScalarType dtype);

}  // namespace zeta::ops
