// zeta::quantize_attention: attention's operands as e4m3 codes, a scale a batch and kv head.
#include <ATen/ATen.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include "src/ops/flash_attention_check.h"
#include "src/ops/flash_attention_fp8.h"
#include "src/ops/refuse.h"

namespace zeta::ops {

using at::Tensor;

QuantizedAttention quantize_attention(const Tensor& q, const Tensor& k, const Tensor& v) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("zeta::quantize_attention", "")
                             .typed<decltype(quantize_attention)>();
  return op.call(q, k, v);
}

void check_quantize_attention(const Tensor& q, const Tensor& k, const Tensor& v) {
  check_attention_inputs(q, k, v, {});
}

namespace {

constexpr double kGreatest = 448, kLeast = 0x1p-126;

struct Heads {
  Tensor codes, descale;
};

// t (batch, seq, heads, dim), of which `groups` have a scale each.
Heads quantize_heads(const Tensor& t, int64_t groups) {
  const auto type = t.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const int64_t each = t.size(2) / groups;
  const Tensor values = t.to(type).reshape({t.size(0), t.size(1), groups, each * t.size(3)});
  // A divisor on the host would become a multiplication by its inverse on CUDA, which rounds otherwise.
  const Tensor descale = values.numel() == 0
                             ? at::full({t.size(0), groups}, kLeast, values.options().dtype(at::kFloat))
                             : values.abs()
                                   .amax({1, 3})
                                   .to(at::kFloat)
                                   .div(at::full({}, kGreatest, values.options().dtype(at::kFloat)))
                                   .clamp_min(kLeast);
  const Tensor codes =
      values.div(descale.unsqueeze(1).unsqueeze(3)).clamp_(-kGreatest, kGreatest).to(at::kFloat8_e4m3fn);
  return {codes.reshape(t.sizes()).contiguous(), descale};
}

QuantizedAttention forward(const Tensor& q, const Tensor& k, const Tensor& v) {
  check_quantize_attention(q, k, v);
  return quantize_attention_formula(q, k, v);
}

QuantizedAttention forward_meta(const Tensor& q, const Tensor& k, const Tensor& v) {
  check_quantize_attention(q, k, v);
  const auto codes = [](const Tensor& t) {
    return at::empty_symint(t.sym_sizes(), t.options().dtype(at::kFloat8_e4m3fn));
  };
  const auto descale = [&] {
    return at::empty_symint({k.sym_size(0), k.sym_size(2)}, k.options().dtype(at::kFloat));
  };
  return {codes(q), codes(k), codes(v), descale(), descale(), descale()};
}

QuantizedAttention forward_autograd(const Tensor& q, const Tensor& k, const Tensor& v) {
  refuse_gradient("quantize_attention", "float8", {{q, "q"}, {k, "k"}, {v, "v"}});
  const at::AutoDispatchBelowAutograd guard;
  return quantize_attention(q, k, v);
}

}  // namespace

QuantizedAttention quantize_attention_formula(const Tensor& q, const Tensor& k, const Tensor& v) {
  const int64_t groups = k.size(2);
  const Heads of_q = quantize_heads(q, groups), of_k = quantize_heads(k, groups),
              of_v = quantize_heads(v, groups);
  return {of_q.codes, of_k.codes, of_v.codes, of_q.descale, of_k.descale, of_v.descale};
}

}  // namespace zeta::ops

TORCH_LIBRARY_FRAGMENT(zeta, m) {
  m.def(
      "quantize_attention(Tensor q, Tensor k, Tensor v) -> (Tensor q_codes, Tensor k_codes, Tensor v_codes, "
      "Tensor q_descale, Tensor k_descale, Tensor v_descale)",
      {at::Tag::pt2_compliant_tag});
}

TORCH_LIBRARY_IMPL(zeta, CompositeExplicitAutograd, m) { m.impl("quantize_attention", zeta::ops::forward); }

TORCH_LIBRARY_IMPL(zeta, Meta, m) { m.impl("quantize_attention", zeta::ops::forward_meta); }

TORCH_LIBRARY_IMPL(zeta, Autograd, m) { m.impl("quantize_attention", zeta::ops::forward_autograd); }

TORCH_LIBRARY_IMPL(zeta, FuncTorchBatched, m) {
  m.impl("quantize_attention", torch::CppFunction::makeFromBoxedFunction<&zeta::ops::refuse_vmap>());
}
