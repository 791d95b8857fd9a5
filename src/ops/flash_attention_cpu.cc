#include <ATen/ATen.h>
#include <torch/library.h>

#include "src/ops/flash_attention_check.h"
#include "src/ops/flash_attention_operands.h"

namespace zeta::ops {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

std::tuple<Tensor, Tensor> forward_cpu(const Tensor& q, const Tensor& k, const Tensor& v,
                                       const OptionalTensor& mask, double softmax_scale, bool causal,
                                       const AttentionOptions& options) {
  check_attention_inputs(q, k, v, mask);
  check_attention_options(q, k, options);
  const AttentionOperands operands(q, k, v, mask, softmax_scale, causal, options);
  const auto& shape = operands.inputs.shape;
  const Tensor out = at::empty({shape.batch, shape.seq_q, shape.num_heads, shape.value_dim}, q.options());
  const Tensor lse =
      at::empty({shape.batch, shape.num_heads, shape.seq_q}, q.options().dtype(attention_compute_type(q)));
  const cpu::AttentionForward args{operands.inputs, attention_view(out), row_view(lse)};
  const int64_t items = cpu::attention_forward_items(shape);
  at::parallel_for(0, items, attention_grain(shape, items),
                   [&](int64_t begin, int64_t end) { cpu::attention_forward(args, begin, end); });
  return {out, lse};
}

Tensor bias_gradient(const cpu::AttentionBackward& args, const Tensor& bias) {
  Tensor padded = bias;
  while (padded.dim() < 4) padded = padded.unsqueeze(0);
  const at::ScalarType type = bias.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const Tensor sum = at::zeros(padded.sizes(), bias.options().dtype(type));
  const cpu::AttentionBiasGradient target{sum.size(0), sum.size(1), sum.size(2), sum.size(3), sum.data_ptr()};
  const int64_t items = cpu::attention_bias_gradient_items(target);
  at::parallel_for(0, items, attention_grain(args.inputs.shape, items), [&](int64_t begin, int64_t end) {
    cpu::attention_bias_gradient(args, target, begin, end);
  });
  return sum.to(bias.scalar_type()).view(bias.sizes());
}

AttentionGradients backward_cpu(const Tensor& grad_out, const Tensor& q, const Tensor& k, const Tensor& v,
                                const Tensor& out, const Tensor& lse, const OptionalTensor& mask,
                                double softmax_scale, bool causal, const AttentionOptions& options,
                                bool bias_grad) {
  check_attention_inputs(q, k, v, mask);
  check_attention_options(q, k, options);
  check_attention_gradient(grad_out, q, v, out, lse);
  const AttentionOperands operands(q, k, v, mask, softmax_scale, causal, options);
  const auto& shape = operands.inputs.shape;
  const Tensor grad = readable(grad_out), result = readable(out), row_lse = lse.contiguous();
  const Tensor grad_q = at::empty(q.sizes(), q.options()), grad_k = at::empty(k.sizes(), k.options()),
               grad_v = at::empty(v.sizes(), v.options());
  const Tensor partials =
      at::zeros({cpu::attention_backward_partials(shape)}, q.options().dtype(attention_compute_type(q)));
  const cpu::AttentionBackward args{operands.inputs,        attention_view(result), attention_view(grad),
                                    row_view(row_lse),      attention_view(grad_q), attention_view(grad_k),
                                    attention_view(grad_v), partials.data_ptr()};
  const int64_t items = cpu::attention_backward_items(shape),
                keys = cpu::attention_backward_reduce_items(shape);
  at::parallel_for(0, items, attention_grain(shape, items),
                   [&](int64_t begin, int64_t end) { cpu::attention_backward(args, begin, end); });
  at::parallel_for(0, keys, attention_grain(shape, keys),
                   [&](int64_t begin, int64_t end) { cpu::attention_backward_reduce(args, begin, end); });
  return {
      grad_q, grad_k, grad_v,
      options.bias && bias_grad ? bias_gradient(args, *options.bias) : empty_bias_gradient(q, options, false),
      sink_gradient(grad_out, out, lse, options)};
}

}  // namespace
}  // namespace zeta::ops

TORCH_LIBRARY_IMPL(zeta, CPU, m) {
  m.impl("flash_attention_forward", zeta::ops::flat_forward<zeta::ops::forward_cpu>);
  m.impl("flash_attention_backward", zeta::ops::flat_backward<zeta::ops::backward_cpu>);
}
