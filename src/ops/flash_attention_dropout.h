// Dropout of attention by ATen, with the mask that docs/design/attention.md defines.
#pragma once

#include <ATen/core/Tensor.h>

namespace zeta::ops {

// What probabilities (batch, heads, count, seq_k) of queries [first, first + count) are multiplied by: 0 or
// 1 / P(keep), of `type`; the first of the heads counts as `first_head`. Reads rng_state where it is, without
// waiting for its device.
at::Tensor attention_dropout_factors(const at::Tensor& rng_state, double dropout_p, int64_t batch,
                                     int64_t heads, int64_t first_head, int64_t first, int64_t count,
                                     int64_t seq_k, at::ScalarType type);

}  // namespace zeta::ops
