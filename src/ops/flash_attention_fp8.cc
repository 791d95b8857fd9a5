#include "src/ops/flash_attention_fp8.h"

#include <ATen/ATen.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include <limits>

#include "src/ops/flash_attention.h"
#include "src/ops/flash_attention_check.h"
#include "src/ops/refuse.h"

namespace zeta::ops {

using at::Tensor;

std::tuple<Tensor, Tensor> flash_attention_fp8(const Float8Attention& a) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("zeta::flash_attention_fp8", "")
                             .typed<decltype(flat_fp8<flash_attention_fp8>)>();
  return op.call(a.q, a.k, a.v, a.q_descale, a.k_descale, a.v_descale, a.softmax_scale, a.causal);
}

void check_flash_attention_fp8(const Float8Attention& a) {
  check_attention_operands(a.q, a.k, a.v);
  TORCH_CHECK_TYPE(a.q.scalar_type() == at::kFloat8_e4m3fn,
                   "flash_attention: expected q of float8_e4m3fn beside descales, got ", a.q.scalar_type());
  const c10::SymInt batch = a.k.sym_size(0), heads = a.k.sym_size(2);
  for (const auto& [t, name] : {std::pair(a.q_descale, "q_descale"), std::pair(a.k_descale, "k_descale"),
                                std::pair(a.v_descale, "v_descale")}) {
    if (!t) continue;
    TORCH_CHECK_TYPE(t->scalar_type() == at::kFloat, "flash_attention: expected ", name, " of float32, got ",
                     t->scalar_type());
    TORCH_CHECK(t->device() == a.q.device(), "flash_attention: expected ", name, " on q's device ",
                a.q.device(), ", got ", t->device());
    const int64_t dims = t->dim();
    const bool fits = dims <= 2 && (dims < 1 || t->sym_size(-1) == 1 || t->sym_size(-1) == heads) &&
                      (dims < 2 || t->sym_size(0) == 1 || t->sym_size(0) == batch);
    TORCH_CHECK_VALUE(fits, "flash_attention: expected ", name,
                      " that broadcasts to (batch, num_kv_heads) = [", batch, ", ", heads, "], got ",
                      t->sym_sizes());
  }
}

Tensor expand_descale(const Float8Attention& a, const std::optional<Tensor>& descale) {
  const int64_t sizes[] = {a.k.size(0), a.k.size(2)};
  if (!descale) return at::ones({1, 1}, a.k.options().dtype(at::kFloat)).expand(sizes);
  const Tensor nan = at::full({}, std::numeric_limits<double>::quiet_NaN(), descale->options());
  return at::where(descale->gt(0), *descale, nan).expand(sizes);
}

std::tuple<Tensor, Tensor> flash_attention_fp8_formula(const Float8Attention& a) {
  const int64_t group = a.q.size(2) / a.k.size(2);
  const auto factor = [](const Tensor& descale) { return descale.unsqueeze(1).unsqueeze(3); };
  const Tensor q = a.q.to(at::kFloat) * factor(expand_descale(a, a.q_descale).repeat_interleave(group, 1)),
               k = a.k.to(at::kFloat) * factor(expand_descale(a, a.k_descale)),
               v = a.v.to(at::kFloat) * factor(expand_descale(a, a.v_descale));
  const auto [out, lse] = flash_attention_forward(q, k, v, {}, a.softmax_scale, a.causal);
  return {out.to(at::kBFloat16), lse};
}

namespace {

std::tuple<Tensor, Tensor> forward(const Float8Attention& a) {
  check_flash_attention_fp8(a);
  return flash_attention_fp8_formula(a);
}

std::tuple<Tensor, Tensor> forward_meta(const Float8Attention& a) {
  check_flash_attention_fp8(a);
  return {
      at::empty_symint({a.q.sym_size(0), a.q.sym_size(1), a.q.sym_size(2), a.v.sym_size(3)},
                       a.q.options().dtype(at::kBFloat16)),
      at::empty_symint({a.q.sym_size(0), a.q.sym_size(2), a.q.sym_size(1)}, a.q.options().dtype(at::kFloat))};
}

std::tuple<Tensor, Tensor> forward_autograd(const Float8Attention& a) {
  refuse_gradient("flash_attention", "float8",
                  {{a.q, "q"},
                   {a.k, "k"},
                   {a.v, "v"},
                   {a.q_descale, "q_descale"},
                   {a.k_descale, "k_descale"},
                   {a.v_descale, "v_descale"}});
  const at::AutoDispatchBelowAutograd guard;
  return flash_attention_fp8(a);
}

}  // namespace
}  // namespace zeta::ops

TORCH_LIBRARY_FRAGMENT(zeta, m) {
  m.def(
      "flash_attention_fp8(Tensor q, Tensor k, Tensor v, Tensor? q_descale, Tensor? k_descale, "
      "Tensor? v_descale, float softmax_scale, bool causal) -> (Tensor out, Tensor lse)",
      {at::Tag::pt2_compliant_tag});
}

TORCH_LIBRARY_IMPL(zeta, CompositeExplicitAutograd, m) {
  m.impl("flash_attention_fp8", zeta::ops::flat_fp8<zeta::ops::forward>);
}

TORCH_LIBRARY_IMPL(zeta, Meta, m) {
  m.impl("flash_attention_fp8", zeta::ops::flat_fp8<zeta::ops::forward_meta>);
}

TORCH_LIBRARY_IMPL(zeta, Autograd, m) {
  m.impl("flash_attention_fp8", zeta::ops::flat_fp8<zeta::ops::forward_autograd>);
}

TORCH_LIBRARY_IMPL(zeta, FuncTorchBatched, m) {
  m.impl("flash_attention_fp8", torch::CppFunction::makeFromBoxedFunction<&zeta::ops::refuse_vmap>());
}
