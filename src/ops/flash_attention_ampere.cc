#include "src/ops/flash_attention_ampere.h"

#include <ATen/ATen.h>
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>

#include "kernels/cuda/attention/ampere/ampere.h"
#include "src/ops/cuda_isa.h"
#include "src/ops/flash_attention_aten.h"

namespace zeta::ops {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

constexpr int64_t kPiece = 8;  // elements of 16 bytes

// The tensor, or a copy where its rows cannot be read 16 bytes at a time; zeros fill the last dimension.
Tensor in_pieces(const Tensor& t) {
  if (const int64_t rest = t.size(3) % kPiece) return at::constant_pad_nd(t, {0, kPiece - rest});
  bool reads = t.stride(3) == 1 && reinterpret_cast<uintptr_t>(t.const_data_ptr()) % 16 == 0;
  for (int64_t d = 0; d < 3; ++d) reads = reads && (t.size(d) == 1 || t.stride(d) % kPiece == 0);
  return reads ? t : t.clone(at::MemoryFormat::Contiguous);
}

// Strides that nobody steps along need not be multiples of anything.
cuda::AttentionTensor operand(const Tensor& t) {
  const auto stride = [&](int64_t d) { return t.size(d) == 1 ? 0 : t.stride(d); };
  return {t.data_ptr(), stride(0), stride(1), stride(2)};
}

cuda::AttentionShape shape_of(const Tensor& q, const Tensor& k, const Tensor& v) {
  return {q.size(0), q.size(1), k.size(1), q.size(2), k.size(2), q.size(3), v.size(3)};
}

cuda::HalfType half_type(const Tensor& q) {
  return q.scalar_type() == at::kHalf ? cuda::HalfType::kFloat16 : cuda::HalfType::kBFloat16;
}

cuda::AttentionWindow window_of(const AttentionOptions& options) {
  return {options.window_left.expect_int(), options.window_right.expect_int()};
}

bool may_run_kernel(const Tensor& q, const Tensor& k, const Tensor& v, const OptionalTensor& mask,
                    const AttentionOptions& options) {
  AttentionOptions others = options;
  others.window_left = others.window_right = -1;
  return !mask && others.plain() && at::isReducedFloatingType(q.scalar_type()) && q.numel() > 0 &&
         k.numel() > 0 && v.numel() > 0 && cuda_isa(q) != CudaIsa::kNone;
}

Tensor as_wide_as(const Tensor& padded, const Tensor& t) {
  return padded.size(3) == t.size(3) ? padded : padded.narrow(3, 0, t.size(3)).contiguous();
}

}  // namespace

std::tuple<Tensor, Tensor> flash_attention_forward_ampere(const Tensor& q, const Tensor& k, const Tensor& v,
                                                          const OptionalTensor& mask, double scale,
                                                          bool causal, const AttentionOptions& options) {
  // One query wants its keys split among blocks, which torch's kernel does and ours does not. It sees them
  // all.
  const bool split = q.size(1) == 1 && options.plain();
  if (!split && may_run_kernel(q, k, v, mask, options)) {
    const c10::cuda::CUDAGuard guard(q.device());
    const Tensor its_q = in_pieces(q), its_k = in_pieces(k), its_v = in_pieces(v);
    const Tensor out = at::empty({q.size(0), q.size(1), q.size(2), its_v.size(3)}, q.options());
    const Tensor lse = at::empty({q.size(0), q.size(2), q.size(1)}, q.options().dtype(at::kFloat));
    cuda::AttentionForward call = {};
    call.type = half_type(q), call.shape = shape_of(its_q, its_k, its_v);
    call.softmax_scale = static_cast<float>(scale), call.causal = causal;
    call.q = operand(its_q), call.k = operand(its_k), call.v = operand(its_v), call.out = operand(out);
    call.lse = lse.data_ptr<float>();
    if (cuda::attention_forward_sm80_supports(call)) {
      C10_CUDA_CHECK(
          cuda::attention_forward_sm80(call, window_of(options), at::cuda::getCurrentCUDAStream()));
      return {as_wide_as(out, v), lse};
    }
  }
  return flash_attention_forward_aten(q, k, v, mask, scale, causal && !split, options);
}

AttentionGradients flash_attention_backward_ampere(const Tensor& grad_out, const Tensor& q, const Tensor& k,
                                                   const Tensor& v, const Tensor& out, const Tensor& lse,
                                                   const OptionalTensor& mask, double scale, bool causal,
                                                   const AttentionOptions& options, bool bias_grad) {
  // dQ is added with atomics, which must not be where anybody has asked for the same gradients each time.
  const bool same = options.deterministic || at::globalContext().deterministicAlgorithms();
  if (!same && may_run_kernel(q, k, v, mask, options)) {
    const c10::cuda::CUDAGuard guard(q.device());
    const Tensor its_q = in_pieces(q), its_k = in_pieces(k), its_v = in_pieces(v), its_out = in_pieces(out),
                 its_grad = in_pieces(grad_out), its_lse = lse.contiguous();
    const Tensor grad_q = at::empty(its_q.sizes(), q.options()),
                 grad_k = at::empty(its_k.sizes(), k.options()),
                 grad_v = at::empty(its_v.sizes(), v.options());
    cuda::AttentionBackward call = {};
    call.type = half_type(q), call.shape = shape_of(its_q, its_k, its_v);
    call.softmax_scale = static_cast<float>(scale), call.causal = causal;
    call.q = operand(its_q), call.k = operand(its_k), call.v = operand(its_v);
    call.out = operand(its_out), call.grad_out = operand(its_grad), call.lse = its_lse.data_ptr<float>();
    call.grad_q = operand(grad_q), call.grad_k = operand(grad_k), call.grad_v = operand(grad_v);
    if (cuda::attention_backward_sm80_supports(call)) {
      const Tensor workspace =
          at::empty({cuda::attention_backward_sm80_workspace(call.shape)}, q.options().dtype(at::kByte));
      call.workspace = workspace.data_ptr();
      C10_CUDA_CHECK(
          cuda::attention_backward_sm80(call, window_of(options), at::cuda::getCurrentCUDAStream()));
      return {as_wide_as(grad_q, q), as_wide_as(grad_k, k), as_wide_as(grad_v, v),
              empty_bias_gradient(q, options, false), empty_sink_gradient(q, options)};
    }
  }
  return flash_attention_backward_aten(grad_out, q, k, v, out, lse, mask, scale, causal, options, bias_grad);
}

}  // namespace zeta::ops
