#include "src/ops/merge_attention_states.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/library.h>

#include <limits>

#include "src/ops/flash_attention_check.h"
#include "src/ops/refuse.h"

namespace zeta::ops {

using at::Tensor;

std::tuple<Tensor, Tensor> merge_attention_states(const Tensor& out_a, const Tensor& lse_a,
                                                  const Tensor& out_b, const Tensor& lse_b) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("zeta::merge_attention_states", "")
                             .typed<decltype(merge_attention_states)>();
  return op.call(out_a, lse_a, out_b, lse_b);
}

namespace {

void check(const Tensor& out_a, const Tensor& lse_a, const Tensor& out_b, const Tensor& lse_b) {
  TORCH_CHECK_VALUE(out_a.dim() == 3 || out_a.dim() == 4,
                    "merge_attention_states: expected out_a of shape (batch, seq_q, num_heads, value_dim) or "
                    "(total_q, num_heads, value_dim), got ",
                    out_a.sym_sizes());
  std::vector<c10::SymInt> rows = out_a.sym_sizes().vec();
  rows.pop_back();
  std::swap(rows[rows.size() - 1], rows[rows.size() - 2]);
  const auto shape = [](const Tensor& t, const char* name, c10::SymIntArrayRef want) {
    TORCH_CHECK_VALUE(t.sym_sizes() == want, "merge_attention_states: expected ", name, " of shape ", want,
                      ", got ", t.sym_sizes());
  };
  const auto like = [](const Tensor& t, const char* name, at::ScalarType type, const Tensor& first) {
    TORCH_CHECK_TYPE(t.scalar_type() == type, "merge_attention_states: expected ", name, " of ", type,
                     ", got ", t.scalar_type());
    TORCH_CHECK(t.device() == first.device(), "merge_attention_states: expected ", name,
                " on out_a's device ", first.device(), ", got ", t.device());
  };
  shape(out_b, "out_b", out_a.sym_sizes());
  shape(lse_a, "lse_a", rows);
  shape(lse_b, "lse_b", rows);
  like(out_b, "out_b", out_a.scalar_type(), out_a);
  like(lse_a, "lse_a", attention_compute_type(out_a), out_a);
  like(lse_b, "lse_b", attention_compute_type(out_a), out_a);
}

std::tuple<Tensor, Tensor> merge_meta(const Tensor& out_a, const Tensor& lse_a, const Tensor& out_b,
                                      const Tensor& lse_b) {
  check(out_a, lse_a, out_b, lse_b);
  return {at::empty_symint(out_a.sym_sizes(), out_a.options()),
          at::empty_symint(lse_a.sym_sizes(), lse_a.options())};
}

std::tuple<Tensor, Tensor> merge(const Tensor& out_a, const Tensor& lse_a, const Tensor& out_b,
                                 const Tensor& lse_b) {
  check(out_a, lse_a, out_b, lse_b);
  const double never = -std::numeric_limits<double>::infinity();
  const Tensor lse = at::logaddexp(lse_a, lse_b).contiguous(), seen = lse.masked_fill(lse == never, 0);
  const auto part = [&](const Tensor& out, const Tensor& own) {
    return out.to(lse.scalar_type()) * (own - seen).exp().transpose(-1, -2).unsqueeze(-1);
  };
  return {part(out_a, lse_a).add_(part(out_b, lse_b)).to(out_a.scalar_type()).contiguous(), lse};
}

}  // namespace
}  // namespace zeta::ops

TORCH_LIBRARY_FRAGMENT(zeta, m) {
  m.def(
      "merge_attention_states(Tensor out_a, Tensor lse_a, Tensor out_b, Tensor lse_b) -> (Tensor out, Tensor "
      "lse)",
      {at::Tag::pt2_compliant_tag});
}

TORCH_LIBRARY_IMPL(zeta, CompositeExplicitAutograd, m) { m.impl("merge_attention_states", zeta::ops::merge); }

TORCH_LIBRARY_IMPL(zeta, Meta, m) { m.impl("merge_attention_states", zeta::ops::merge_meta); }

TORCH_LIBRARY_IMPL(zeta, Autograd, m) {
  m.impl("merge_attention_states", torch::autograd::autogradNotImplementedFallback());
}

TORCH_LIBRARY_IMPL(zeta, FuncTorchBatched, m) {
  m.impl("merge_attention_states", torch::CppFunction::makeFromBoxedFunction<&zeta::ops::refuse_vmap>());
}
