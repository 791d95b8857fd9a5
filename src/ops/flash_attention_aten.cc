#include "src/ops/flash_attention_aten.h"

#include <ATen/ATen.h>
#include <torch/library.h>

#include <array>

#include "src/ops/flash_attention_check.h"
#include "src/ops/flash_attention_formula.h"

namespace zeta::ops {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

// (batch, seq, heads, dim) → (batch, heads, seq, dim), copied where torch's kernel, which loads 16 bytes at a
// time and does not look first, could not read it.
Tensor torch_operand(const Tensor& t) {
  constexpr uintptr_t kBytes = 16;
  bool readable = t.stride(3) == 1 && reinterpret_cast<uintptr_t>(t.const_data_ptr()) % kBytes == 0;
  for (int64_t d = 0; d < 3; ++d)
    readable = readable && static_cast<uintptr_t>(t.stride(d)) * t.element_size() % kBytes == 0;
  return (readable ? t : t.clone(at::MemoryFormat::Contiguous)).transpose(1, 2);
}

// q, k and v as torch's flash kernel takes them, or none where it does not compute the same. It aligns
// causality top-left, which is ours only where both sequences are as long. torch's own choice then knows the
// GPU's generation, the dtypes and dimensions that it can do, and what the user has switched off; where it
// prefers cuDNN, as on Hopper, its flash kernel can do the same.
std::optional<std::array<Tensor, 3>> torch_flash_operands(const Tensor& q, const Tensor& k, const Tensor& v,
                                                          const OptionalTensor& mask, double scale,
                                                          bool causal, const AttentionOptions& options) {
  if (!q.is_cuda() || mask || !options.plain() || q.numel() == 0 || k.numel() == 0 ||
      (causal && q.size(1) != k.size(1)))
    return {};
  if (!at::isReducedFloatingType(q.scalar_type()) || q.size(3) != v.size(3) || q.size(3) % 8 != 0) return {};
  std::array<Tensor, 3> operands = {torch_operand(q), torch_operand(k), torch_operand(v)};
  const auto choice = static_cast<at::SDPBackend>(at::_fused_sdp_choice(
      operands[0], operands[1], operands[2], {}, 0, causal, scale, q.size(2) != k.size(2)));
  const bool flash = choice == at::SDPBackend::flash_attention ||
                     (choice == at::SDPBackend::cudnn_attention && at::globalContext().userEnabledFlashSDP());
  return flash ? std::optional(operands) : std::nullopt;
}

std::tuple<Tensor, Tensor> torch_flash_forward(const std::array<Tensor, 3>& operands, double scale,
                                               bool causal) {
  const auto& [q, k, v] = operands;
  const auto results = at::_scaled_dot_product_flash_attention(q, k, v, 0, causal, false, scale);
  return {std::get<0>(results).transpose(1, 2).contiguous(), std::get<1>(results).contiguous()};
}

// Its backward adds with atomics unless the whole process is to be deterministic; a call cannot ask for it.
bool torch_flash_is_deterministic() {
  const auto& context = at::globalContext();
  return context.deterministicAlgorithms() && !context.deterministicAlgorithmsWarnOnly();
}

std::tuple<Tensor, Tensor, Tensor> torch_flash_backward(const Tensor& grad_out,
                                                        const std::array<Tensor, 3>& operands,
                                                        const Tensor& out, const Tensor& lse, double scale,
                                                        bool causal) {
  const auto& [q, k, v] = operands;
  const Tensor no_lengths, seed = at::zeros({2}, q.options().dtype(at::kUInt64)),
                           offset = at::zeros({}, q.options().dtype(at::kUInt64));
  const auto [grad_q, grad_k, grad_v] = at::_scaled_dot_product_flash_attention_backward(
      torch_operand(grad_out), q, k, v, torch_operand(out), lse.contiguous(), no_lengths, no_lengths,
      q.size(2), k.size(2), 0, causal, seed, offset, scale);
  return {grad_q.transpose(1, 2).contiguous(), grad_k.transpose(1, 2).contiguous(),
          grad_v.transpose(1, 2).contiguous()};
}

}  // namespace

std::tuple<Tensor, Tensor> flash_attention_forward_aten(const Tensor& q, const Tensor& k, const Tensor& v,
                                                        const OptionalTensor& mask, double scale, bool causal,
                                                        const AttentionOptions& options) {
  check_attention_inputs(q, k, v, mask);
  check_attention_options(q, k, options);
  if (const auto operands = torch_flash_operands(q, k, v, mask, scale, causal, options))
    return torch_flash_forward(*operands, scale, causal);
  return formula_forward({q, k, v, mask, scale, causal, options}, q.scalar_type());
}

AttentionGradients flash_attention_backward_aten(const Tensor& grad_out, const Tensor& q, const Tensor& k,
                                                 const Tensor& v, const Tensor& out, const Tensor& lse,
                                                 const OptionalTensor& mask, double scale, bool causal,
                                                 const AttentionOptions& options, bool bias_grad) {
  check_attention_inputs(q, k, v, mask);
  check_attention_options(q, k, options);
  check_attention_gradient(grad_out, q, v, out, lse);
  const auto operands = torch_flash_operands(q, k, v, mask, scale, causal, options);
  if (operands && (!options.deterministic || torch_flash_is_deterministic())) {
    const auto [grad_q, grad_k, grad_v] = torch_flash_backward(grad_out, *operands, out, lse, scale, causal);
    return {grad_q, grad_k, grad_v, empty_bias_gradient(q, options, false), empty_sink_gradient(q, options)};
  }
  return formula_backward({q, k, v, mask, scale, causal, options}, grad_out, out, lse, bias_grad);
}

}  // namespace zeta::ops

TORCH_LIBRARY_IMPL(zeta, CompositeExplicitAutograd, m) {
  m.impl("flash_attention_forward", zeta::ops::flat_forward<zeta::ops::flash_attention_forward_aten>);
  m.impl("flash_attention_backward", zeta::ops::flat_backward<zeta::ops::flash_attention_backward_aten>);
}
