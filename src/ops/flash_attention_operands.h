// The attention ops' tensors as the CPU kernels read them.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstddef>
#include <vector>

#include "kernels/cpu/attention/attention.h"
#include "src/ops/flash_attention_options.h"

namespace zeta::ops {

// The last dimension contiguous: the tensor itself, or a copy.
at::Tensor readable(const at::Tensor& t);
cpu::AttentionTensor attention_view(const at::Tensor& t);
cpu::AttentionRows row_view(const at::Tensor& lse);  // (batch, heads, seq_q)

// What the kernels read of q, k, v (batch, seq, heads, dim), mask and options, and the tensors that keep it
// alive.
struct AttentionOperands {
  AttentionOperands(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                    const std::optional<at::Tensor>& mask, double softmax_scale, bool causal,
                    const AttentionOptions& options);
  // … where slopes are given for `slope_batch` sequences.
  AttentionOperands(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                    const std::optional<at::Tensor>& mask, double softmax_scale, bool causal,
                    const AttentionOptions& options, int64_t slope_batch);

  at::Tensor q, k, v, mask, bias, alibi_slopes, sinks;
  cpu::AttentionInputs inputs;
};

// Positions from `first` on.
inline cpu::AttentionTensor rows_from(cpu::AttentionTensor t, int64_t first, int64_t element_size) {
  t.data = static_cast<std::byte*>(t.data) + first * t.seq_stride * element_size;
  return t;
}
inline cpu::AttentionRows rows_from(cpu::AttentionRows rows, int64_t first, int64_t element_size) {
  rows.data = static_cast<std::byte*>(rows.data) + first * element_size;
  return rows;
}

inline int64_t attention_work(const cpu::AttentionShape& s) {
  return s.batch * s.num_heads * s.seq_q * s.seq_k * (s.head_dim + s.value_dim);
}

// So many items a task that a thread is worth waking: some 2¹⁸ multiplications.
inline int64_t attention_grain(int64_t work, int64_t items) {
  return std::max<int64_t>(1, (items << 18) / std::max<int64_t>(work, 1));
}
inline int64_t attention_grain(const cpu::AttentionShape& s, int64_t items) {
  return attention_grain(attention_work(s), items);
}

// Runs kernel(call, begin, end) over the items of all calls as over one range.
template <class Call, class Kernel>
void attention_parallel(const std::vector<Call>& calls, int64_t (*items)(const cpu::AttentionShape&),
                        Kernel kernel) {
  std::vector<int64_t> starts = {0};
  int64_t work = 0;
  for (const Call& call : calls) {
    starts.push_back(starts.back() + items(call.inputs.shape));
    work += attention_work(call.inputs.shape);
  }
  const int64_t grain = attention_grain(work, starts.back());
  at::parallel_for(0, starts.back(), grain, [&](int64_t begin, int64_t end) {
    auto i = static_cast<size_t>(std::upper_bound(starts.begin(), starts.end(), begin) - starts.begin() - 1);
    for (; begin < end; ++i) {
      const int64_t stop = std::min(end, starts[i + 1]);
      if (stop > begin) kernel(calls[i], begin - starts[i], stop - starts[i]);
      begin = stop;
    }
  });
}

}  // namespace zeta::ops
