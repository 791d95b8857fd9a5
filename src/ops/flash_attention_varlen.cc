#include "src/ops/flash_attention_varlen.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include "src/ops/flash_attention_check.h"
#include "src/ops/refuse.h"

namespace zeta::ops {

using at::Tensor;

std::tuple<Tensor, Tensor> flash_attention_varlen_forward(const Tensor& q, const Tensor& k, const Tensor& v,
                                                          const PackedLengths& lengths, double softmax_scale,
                                                          bool causal, const AttentionOptions& o) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("zeta::flash_attention_varlen_forward", "")
                             .typed<decltype(flat_varlen_forward<flash_attention_varlen_forward>)>();
  return op.call(q, k, v, lengths.cu_seqlens_q, lengths.cu_seqlens_k, lengths.max_seqlen_q,
                 lengths.max_seqlen_k, softmax_scale, causal, o.window_left, o.window_right, o.softcap,
                 o.alibi_slopes, o.sinks, o.dropout_p, o.rng_state, o.deterministic);
}

PackedGradients flash_attention_varlen_backward(const Tensor& grad_out, const Tensor& q, const Tensor& k,
                                                const Tensor& v, const Tensor& out, const Tensor& lse,
                                                const PackedLengths& lengths, double softmax_scale,
                                                bool causal, const AttentionOptions& o) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("zeta::flash_attention_varlen_backward", "")
                             .typed<decltype(flat_varlen_backward<flash_attention_varlen_backward>)>();
  return op.call(grad_out, q, k, v, out, lse, lengths.cu_seqlens_q, lengths.cu_seqlens_k,
                 lengths.max_seqlen_q, lengths.max_seqlen_k, softmax_scale, causal, o.window_left,
                 o.window_right, o.softcap, o.alibi_slopes, o.sinks, o.dropout_p, o.rng_state,
                 o.deterministic);
}

namespace {

std::tuple<Tensor, Tensor> forward_meta(const Tensor& q, const Tensor& k, const Tensor& v,
                                        const PackedLengths& lengths, double, bool,
                                        const AttentionOptions& options) {
  check_packed_inputs(q, k, v, lengths, options);
  return {at::empty_symint({q.sym_size(0), q.sym_size(1), v.sym_size(2)}, q.options()),
          at::empty_symint({q.sym_size(1), q.sym_size(0)}, q.options().dtype(attention_compute_type(q)))};
}

PackedGradients backward_meta(const Tensor& grad_out, const Tensor& q, const Tensor& k, const Tensor& v,
                              const Tensor& out, const Tensor& lse, const PackedLengths& lengths, double,
                              bool, const AttentionOptions& options) {
  check_packed_inputs(q, k, v, lengths, options);
  check_packed_gradient(grad_out, q, v, out, lse);
  return {at::empty_symint(q.sym_sizes(), q.options()), at::empty_symint(k.sym_sizes(), k.options()),
          at::empty_symint(v.sym_sizes(), v.options()), empty_sink_gradient(q, options)};
}

}  // namespace
}  // namespace zeta::ops

TORCH_LIBRARY_FRAGMENT(zeta, m) {
  m.def(
      "flash_attention_varlen_forward(Tensor q, Tensor k, Tensor v, Tensor cu_seqlens_q, Tensor "
      "cu_seqlens_k, "
      "SymInt max_seqlen_q, SymInt max_seqlen_k, float softmax_scale, bool causal, SymInt window_left=-1, "
      "SymInt window_right=-1, float softcap=0.0, Tensor? alibi_slopes=None, Tensor? sinks=None, "
      "float dropout_p=0.0, Tensor? rng_state=None, bool deterministic=False) -> (Tensor out, Tensor lse)",
      {at::Tag::pt2_compliant_tag});
  m.def(
      "flash_attention_varlen_backward(Tensor grad_out, Tensor q, Tensor k, Tensor v, Tensor out, Tensor "
      "lse, "
      "Tensor cu_seqlens_q, Tensor cu_seqlens_k, SymInt max_seqlen_q, SymInt max_seqlen_k, float "
      "softmax_scale, "
      "bool causal, SymInt window_left=-1, SymInt window_right=-1, float softcap=0.0, "
      "Tensor? alibi_slopes=None, Tensor? sinks=None, float dropout_p=0.0, Tensor? rng_state=None, "
      "bool deterministic=False) -> (Tensor grad_q, Tensor grad_k, Tensor grad_v, Tensor grad_sinks)",
      {at::Tag::pt2_compliant_tag});
}

TORCH_LIBRARY_IMPL(zeta, Meta, m) {
  m.impl("flash_attention_varlen_forward", zeta::ops::flat_varlen_forward<zeta::ops::forward_meta>);
  m.impl("flash_attention_varlen_backward", zeta::ops::flat_varlen_backward<zeta::ops::backward_meta>);
}

TORCH_LIBRARY_IMPL(zeta, FuncTorchBatched, m) {
  m.impl("flash_attention_varlen_forward",
         torch::CppFunction::makeFromBoxedFunction<&zeta::ops::refuse_vmap>());
  m.impl("flash_attention_varlen_backward",
         torch::CppFunction::makeFromBoxedFunction<&zeta::ops::refuse_vmap>());
}
