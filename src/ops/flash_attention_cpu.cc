#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include "kernels/cpu/attention/attention.h"
#include "src/ops/flash_attention_check.h"

namespace zeta::ops {
namespace {

using at::Tensor;

cpu::ElementType element_type(at::ScalarType type) {
  switch (type) {
    case at::kBFloat16:
      return cpu::ElementType::kBFloat16;
    case at::kHalf:
      return cpu::ElementType::kFloat16;
    case at::kDouble:
      return cpu::ElementType::kFloat64;
    default:
      return cpu::ElementType::kFloat32;
  }
}

Tensor readable(const Tensor& t) { return t.stride(3) == 1 || t.size(3) == 1 ? t : t.contiguous(); }

cpu::AttentionTensor view(const Tensor& t) { return {t.data_ptr(), t.stride(0), t.stride(1), t.stride(2)}; }

// What the kernels read, and the tensors that keep it alive.
struct Operands {
  Operands(const Tensor& q_, const Tensor& k_, const Tensor& v_, const std::optional<Tensor>& mask_,
           double softmax_scale, bool causal)
      : q(readable(q_)), k(readable(k_)), v(readable(v_)) {
    inputs = {element_type(q.scalar_type()),
              {q.size(0), q.size(1), k.size(1), q.size(2), k.size(2), q.size(3), v.size(3)},
              softmax_scale,
              causal,
              view(q),
              view(k),
              view(v),
              {}};
    if (!mask_) return;
    mask = mask_->expand({q.size(0), q.size(2), q.size(1), k.size(1)});
    inputs.mask = {mask.const_data_ptr<bool>(), mask.stride(0), mask.stride(1), mask.stride(2),
                   mask.stride(3)};
  }

  Tensor q, k, v, mask;
  cpu::AttentionInputs inputs;
};

// So many items a task that a thread is worth waking: some 2¹⁸ multiplications.
int64_t grain(const cpu::AttentionShape& s, int64_t items) {
  const int64_t work = s.batch * s.num_heads * s.seq_q * s.seq_k * (s.head_dim + s.value_dim);
  return std::max<int64_t>(1, (items << 18) / std::max<int64_t>(work, 1));
}

std::tuple<Tensor, Tensor> forward_cpu(const Tensor& q, const Tensor& k, const Tensor& v,
                                       const std::optional<Tensor>& mask, double softmax_scale, bool causal) {
  check_attention_inputs(q, k, v, mask);
  const Operands operands(q, k, v, mask, softmax_scale, causal);
  const auto& shape = operands.inputs.shape;
  const Tensor out = at::empty({shape.batch, shape.seq_q, shape.num_heads, shape.value_dim}, q.options());
  const Tensor lse =
      at::empty({shape.batch, shape.num_heads, shape.seq_q}, q.options().dtype(attention_compute_type(q)));
  const cpu::AttentionForward args{operands.inputs, view(out), lse.data_ptr()};
  const int64_t items = cpu::attention_forward_items(shape);
  at::parallel_for(0, items, grain(shape, items),
                   [&](int64_t begin, int64_t end) { cpu::attention_forward(args, begin, end); });
  return {out, lse};
}

std::tuple<Tensor, Tensor, Tensor> backward_cpu(const Tensor& grad_out, const Tensor& q, const Tensor& k,
                                                const Tensor& v, const Tensor& out, const Tensor& lse,
                                                const std::optional<Tensor>& mask, double softmax_scale,
                                                bool causal) {
  check_attention_inputs(q, k, v, mask);
  check_attention_gradient(grad_out, q, v, out, lse);
  const Operands operands(q, k, v, mask, softmax_scale, causal);
  const auto& shape = operands.inputs.shape;
  const Tensor grad = readable(grad_out), result = readable(out), row_lse = lse.contiguous();
  const Tensor grad_q = at::empty(q.sizes(), q.options()), grad_k = at::empty(k.sizes(), k.options()),
               grad_v = at::empty(v.sizes(), v.options());
  const Tensor partials =
      at::zeros({cpu::attention_backward_partials(shape)}, q.options().dtype(attention_compute_type(q)));
  const cpu::AttentionBackward args{operands.inputs, view(result), view(grad),   row_lse.const_data_ptr(),
                                    view(grad_q),    view(grad_k), view(grad_v), partials.data_ptr()};
  const int64_t items = cpu::attention_backward_items(shape),
                keys = cpu::attention_backward_reduce_items(shape);
  at::parallel_for(0, items, grain(shape, items),
                   [&](int64_t begin, int64_t end) { cpu::attention_backward(args, begin, end); });
  at::parallel_for(0, keys, grain(shape, keys),
                   [&](int64_t begin, int64_t end) { cpu::attention_backward_reduce(args, begin, end); });
  return {grad_q, grad_k, grad_v};
}

}  // namespace
}  // namespace zeta::ops

TORCH_LIBRARY_IMPL(zeta, CPU, m) {
  m.impl("flash_attention_forward", zeta::ops::forward_cpu);
  m.impl("flash_attention_backward", zeta::ops::backward_cpu);
}
