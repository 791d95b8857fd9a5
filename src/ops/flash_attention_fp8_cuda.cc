// flash_attention_fp8 and quantize_attention on CUDA: our kernels where they compute what is asked for, else
// the formulas in ATen.
#include <ATen/ATen.h>
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <torch/library.h>

#include "kernels/cuda/attention/float8.h"
#include "kernels/cuda/attention/quantize_heads.h"
#include "src/ops/cuda_isa.h"
#include "src/ops/cuda_values.h"
#include "src/ops/flash_attention_fp8.h"

namespace zeta::ops {
namespace {

using at::Tensor;

constexpr int64_t kPiece = 16;  // bytes that the copy engine has to have aligned

// The tensor as bytes, or a copy that the copy engine can read, its last dimension filled with zeros up to a
// multiple of 16.
Tensor readable_bytes(const Tensor& t) {
  const Tensor bytes = t.view(at::kByte);
  if (const int64_t rest = t.size(3) % kPiece; rest != 0)
    return at::constant_pad_nd(bytes, {0, kPiece - rest}).contiguous();
  bool reads = t.stride(3) == 1 && reinterpret_cast<uintptr_t>(t.const_data_ptr()) % kPiece == 0;
  for (int64_t d = 0; d < 3; ++d)
    reads = reads && (t.size(d) == 1 || (t.stride(d) > 0 && t.stride(d) % kPiece == 0));
  return reads ? bytes : bytes.clone(at::MemoryFormat::Contiguous);
}

cuda::AttentionTensor operand(const Tensor& t) {
  return {t.data_ptr(), t.stride(0), t.stride(1), t.stride(2)};
}

struct Descale {
  Tensor values;
  cuda::HeadScales scales;
  Descale(const Float8Attention& a, const std::optional<Tensor>& descale) {
    if (!descale) return;
    values = descale->expand({a.k.size(0), a.k.size(2)});
    scales = {values.const_data_ptr<float>(), values.stride(0), values.stride(1)};
  }
};

std::tuple<Tensor, Tensor> forward_cuda(const Float8Attention& a) {
  check_flash_attention_fp8(a);
  if (cuda_isa(a.q) != CudaIsa::kSm90 || a.q.numel() == 0 || a.k.numel() == 0 || a.v.numel() == 0)
    return flash_attention_fp8_formula(a);
  const c10::cuda::CUDAGuard guard(a.q.device());
  const Tensor q = readable_bytes(a.q), k = readable_bytes(a.k), v = readable_bytes(a.v);
  const Tensor out =
      at::empty({q.size(0), q.size(1), q.size(2), v.size(3)}, q.options().dtype(at::kBFloat16));
  const Tensor lse = at::empty({q.size(0), q.size(2), q.size(1)}, q.options().dtype(at::kFloat));
  const Descale of_q(a, a.q_descale), of_k(a, a.k_descale), of_v(a, a.v_descale);
  cuda::AttentionForwardFloat8 call = {
      {q.size(0), q.size(1), k.size(1), q.size(2), k.size(2), q.size(3), v.size(3)},
      static_cast<float>(a.softmax_scale),
      a.causal,
      operand(q),
      operand(k),
      operand(v),
      of_q.scales,
      of_k.scales,
      of_v.scales,
      operand(out),
      lse.data_ptr<float>(),
      nullptr};
  if (!cuda::attention_forward_float8_supports(call)) return flash_attention_fp8_formula(a);
  const Tensor workspace = at::empty({cuda::attention_forward_float8_workspace(call.shape)}, q.options());
  call.workspace = workspace.data_ptr();
  C10_CUDA_CHECK(cuda::attention_forward_float8(call, at::cuda::getCurrentCUDAStream()));
  return {out.narrow(3, 0, a.v.size(3)).contiguous(), lse};
}

// Whether rows can be read 16 bytes, and codes written 8 at a time.
bool in_eights(const Tensor& t) {
  bool reads = t.stride(3) == 1 && t.size(3) % 8 == 0 &&
               reinterpret_cast<uintptr_t>(t.const_data_ptr()) % 16 == 0 && t.scalar_type() != at::kDouble;
  for (int64_t d = 0; d < 3; ++d) reads = reads && (t.size(d) == 1 || t.stride(d) % 8 == 0);
  return reads;
}

QuantizedAttention quantize_cuda(const Tensor& q, const Tensor& k, const Tensor& v) {
  check_quantize_attention(q, k, v);
  const int64_t scales = k.size(0) * k.size(2);
  if (q.numel() == 0 || k.numel() == 0 || v.numel() == 0 || scales > 65535 || !in_eights(q) ||
      !in_eights(k) || !in_eights(v))
    return quantize_attention_formula(q, k, v);
  const c10::cuda::CUDAGuard guard(q.device());
  const auto codes = [](const Tensor& t) {
    return at::empty(t.sizes(), t.options().dtype(at::kFloat8_e4m3fn));
  };
  const Tensor q_codes = codes(q), k_codes = codes(k), v_codes = codes(v);
  const auto floats = [&] { return at::empty({k.size(0), k.size(2)}, k.options().dtype(at::kFloat)); };
  const Tensor q_descale = floats(), k_descale = floats(), v_descale = floats();
  const auto heads = [&](const Tensor& t, const Tensor& to, const Tensor& descale) {
    return cuda::HeadsToQuantize{cuda_values(t),
                                 t.stride(0),
                                 t.stride(1),
                                 t.stride(2),
                                 t.size(1),
                                 t.size(2) / k.size(2),
                                 t.size(3),
                                 static_cast<uint8_t*>(to.data_ptr()),
                                 descale.data_ptr<float>()};
  };
  const Tensor workspace =
      at::empty({cuda::quantize_heads_workspace(k.size(0), k.size(2))}, k.options().dtype(at::kByte));
  C10_CUDA_CHECK(cuda::quantize_heads(
      {heads(q, q_codes, q_descale), heads(k, k_codes, k_descale), heads(v, v_codes, v_descale)}, k.size(0),
      k.size(2), workspace.data_ptr(), at::cuda::getCurrentCUDAStream()));
  return {q_codes, k_codes, v_codes, q_descale, k_descale, v_descale};
}

}  // namespace
}  // namespace zeta::ops

TORCH_LIBRARY_IMPL(zeta, CUDA, m) {
  m.impl("flash_attention_fp8", zeta::ops::flat_fp8<zeta::ops::forward_cuda>);
  m.impl("quantize_attention", zeta::ops::quantize_cuda);
}
