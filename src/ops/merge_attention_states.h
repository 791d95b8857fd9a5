// zeta::merge_attention_states: attention to two sets of keys, from attention to each.
#pragma once

#include <ATen/core/Tensor.h>

#include <tuple>

namespace zeta::ops {

// out_a, out_b (…, seq_q, num_heads, value_dim) and lse_a, lse_b (…, num_heads, seq_q) as attention over
// disjoint keys returns them, with at most one of them counting a sink; out of out_a's dtype, lse of lse_a's.
// Where neither saw a key: 0 and -inf. Throws c10::Error naming what does not fit. Not differentiable, since
// lse is not. Thread-safe.
C10_EXPORT std::tuple<at::Tensor, at::Tensor> merge_attention_states(const at::Tensor& out_a,
                                                                     const at::Tensor& lse_a,
                                                                     const at::Tensor& out_b,
                                                                     const at::Tensor& lse_b);

}  // namespace zeta::ops
