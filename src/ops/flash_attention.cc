#include "src/ops/flash_attention.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include "src/ops/flash_attention_check.h"
#include "src/ops/refuse.h"

namespace zeta::ops {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

std::tuple<Tensor, Tensor> flash_attention_forward(const Tensor& q, const Tensor& k, const Tensor& v,
                                                   const OptionalTensor& mask, double softmax_scale,
                                                   bool causal, const AttentionOptions& o) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("zeta::flash_attention_forward", "")
                             .typed<decltype(flat_forward<flash_attention_forward>)>();
  return op.call(q, k, v, mask, softmax_scale, causal, o.window_left, o.window_right, o.softcap, o.bias,
                 o.alibi_slopes, o.sinks, o.dropout_p, o.rng_state, o.deterministic);
}

AttentionGradients flash_attention_backward(const Tensor& grad_out, const Tensor& q, const Tensor& k,
                                            const Tensor& v, const Tensor& out, const Tensor& lse,
                                            const OptionalTensor& mask, double softmax_scale, bool causal,
                                            const AttentionOptions& o, bool bias_grad) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("zeta::flash_attention_backward", "")
                             .typed<decltype(flat_backward<flash_attention_backward>)>();
  return op.call(grad_out, q, k, v, out, lse, mask, softmax_scale, causal, o.window_left, o.window_right,
                 o.softcap, o.bias, o.alibi_slopes, o.sinks, o.dropout_p, o.rng_state, o.deterministic,
                 bias_grad);
}

namespace {

std::tuple<Tensor, Tensor> forward_meta(const Tensor& q, const Tensor& k, const Tensor& v,
                                        const OptionalTensor& mask, double, bool,
                                        const AttentionOptions& options) {
  check_attention_inputs(q, k, v, mask);
  check_attention_options(q, k, options);
  return {at::empty_symint({q.sym_size(0), q.sym_size(1), q.sym_size(2), v.sym_size(3)}, q.options()),
          at::empty_symint({q.sym_size(0), q.sym_size(2), q.sym_size(1)},
                           q.options().dtype(attention_compute_type(q)))};
}

AttentionGradients backward_meta(const Tensor& grad_out, const Tensor& q, const Tensor& k, const Tensor& v,
                                 const Tensor& out, const Tensor& lse, const OptionalTensor& mask, double,
                                 bool, const AttentionOptions& options, bool bias_grad) {
  check_attention_inputs(q, k, v, mask);
  check_attention_options(q, k, options);
  check_attention_gradient(grad_out, q, v, out, lse);
  return {at::empty_symint(q.sym_sizes(), q.options()), at::empty_symint(k.sym_sizes(), k.options()),
          at::empty_symint(v.sym_sizes(), v.options()), empty_bias_gradient(q, options, bias_grad),
          empty_sink_gradient(q, options)};
}

}  // namespace
}  // namespace zeta::ops

TORCH_LIBRARY_FRAGMENT(zeta, m) {
  m.def(
      "flash_attention_forward(Tensor q, Tensor k, Tensor v, Tensor? mask, float softmax_scale, bool causal, "
      "SymInt window_left=-1, SymInt window_right=-1, float softcap=0.0, Tensor? bias=None, "
      "Tensor? alibi_slopes=None, Tensor? sinks=None, float dropout_p=0.0, Tensor? rng_state=None, "
      "bool deterministic=False) -> (Tensor out, Tensor lse)",
      {at::Tag::pt2_compliant_tag});
  m.def(
      "flash_attention_backward(Tensor grad_out, Tensor q, Tensor k, Tensor v, Tensor out, Tensor lse, "
      "Tensor? mask, float softmax_scale, bool causal, SymInt window_left=-1, SymInt window_right=-1, "
      "float softcap=0.0, Tensor? bias=None, Tensor? alibi_slopes=None, Tensor? sinks=None, "
      "float dropout_p=0.0, Tensor? rng_state=None, bool deterministic=False, bool bias_grad=False) "
      "-> (Tensor grad_q, Tensor grad_k, Tensor grad_v, Tensor grad_bias, Tensor grad_sinks)",
      {at::Tag::pt2_compliant_tag});
}

TORCH_LIBRARY_IMPL(zeta, Meta, m) {
  m.impl("flash_attention_forward", zeta::ops::flat_forward<zeta::ops::forward_meta>);
  m.impl("flash_attention_backward", zeta::ops::flat_backward<zeta::ops::backward_meta>);
}

TORCH_LIBRARY_IMPL(zeta, FuncTorchBatched, m) {
  m.impl("flash_attention_forward", torch::CppFunction::makeFromBoxedFunction<&zeta::ops::refuse_vmap>());
  m.impl("flash_attention_backward", torch::CppFunction::makeFromBoxedFunction<&zeta::ops::refuse_vmap>());
}
