#include "src/ops/paged_attention.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/library.h>

#include "src/ops/flash_attention_check.h"
#include "src/ops/refuse.h"

namespace zeta::ops {

using at::Tensor;

std::tuple<Tensor, Tensor> paged_attention(const PagedAttention& a) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("zeta::paged_attention", "")
                             .typed<decltype(flat_paged<paged_attention>)>();
  const AttentionOptions& o = a.options;
  return op.call(a.q, a.k_cache, a.v_cache, a.block_table, a.seq_lens, a.k_new, a.v_new, a.cu_seqlens_q,
                 a.rotary_cos, a.rotary_sin, a.rotary_interleaved, a.softmax_scale, a.causal, o.window_left,
                 o.window_right, o.softcap, o.alibi_slopes, o.sinks, a.k_descale, a.v_descale, a.validate);
}

namespace {

std::tuple<Tensor, Tensor> forward_meta(const PagedAttention& a) {
  check_paged_attention(a);
  std::vector<c10::SymInt> out = a.q.sym_sizes().vec();
  out.back() = a.v_cache.sym_size(3);
  const auto type = attention_compute_type(a.q);
  if (a.q.dim() == 3)
    return {at::empty_symint(out, a.q.options()),
            at::empty_symint({out[1], out[0]}, a.q.options().dtype(type))};
  return {at::empty_symint(out, a.q.options()),
          at::empty_symint({out[0], out[2], out[1]}, a.q.options().dtype(type))};
}

}  // namespace
}  // namespace zeta::ops

TORCH_LIBRARY_FRAGMENT(zeta, m) {
  m.def(
      "paged_attention(Tensor q, Tensor(a!) k_cache, Tensor(b!) v_cache, Tensor block_table, Tensor "
      "seq_lens, "
      "Tensor? k_new, Tensor? v_new, Tensor? cu_seqlens_q, Tensor? rotary_cos, Tensor? rotary_sin, "
      "bool rotary_interleaved, float softmax_scale, bool causal, SymInt window_left=-1, SymInt "
      "window_right=-1, "
      "float softcap=0.0, Tensor? alibi_slopes=None, Tensor? sinks=None, Tensor? k_descale=None, "
      "Tensor? v_descale=None, bool validate=True) -> (Tensor out, Tensor lse)",
      {at::Tag::pt2_compliant_tag});
}

TORCH_LIBRARY_IMPL(zeta, Meta, m) {
  m.impl("paged_attention", zeta::ops::flat_paged<zeta::ops::forward_meta>);
}

TORCH_LIBRARY_IMPL(zeta, Autograd, m) {
  m.impl("paged_attention", torch::autograd::autogradNotImplementedFallback());
}

TORCH_LIBRARY_IMPL(zeta, FuncTorchBatched, m) {
  m.impl("paged_attention", torch::CppFunction::makeFromBoxedFunction<&zeta::ops::refuse_vmap>());
}
