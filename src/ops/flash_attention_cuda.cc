// The flash_attention ops on CUDA: our kernels where they compute what is asked for, else ATen.
#include <ATen/ATen.h>
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <torch/library.h>

#include "kernels/cuda/attention/attention.h"
#include "src/ops/cuda_isa.h"
#include "src/ops/flash_attention_ampere.h"
#include "src/ops/flash_attention_aten.h"
#include "src/ops/flash_attention_check.h"

namespace zeta::ops {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

cuda::AttentionTensor operand(const Tensor& t) {
  return {t.data_ptr(), t.stride(0), t.stride(1), t.stride(2)};
}

// What the copy engine cannot address it can after a copy, if the last dimension fills its 16 bytes.
Tensor readable(const Tensor& t) {
  constexpr int64_t kElements = 8;
  bool reads = t.stride(3) == 1 && reinterpret_cast<uintptr_t>(t.const_data_ptr()) % 16 == 0;
  for (int64_t d = 0; d < 3; ++d)
    reads = reads && (t.size(d) == 1 || (t.stride(d) > 0 && t.stride(d) % kElements == 0));
  return reads ? t : t.clone(at::MemoryFormat::Contiguous);
}

cuda::AttentionShape shape_of(const Tensor& q, const Tensor& k, const Tensor& v) {
  return {q.size(0), q.size(1), k.size(1), q.size(2), k.size(2), q.size(3), v.size(3)};
}

cuda::HalfType half_type(const Tensor& q) {
  return q.scalar_type() == at::kHalf ? cuda::HalfType::kFloat16 : cuda::HalfType::kBFloat16;
}

// A kernel that adds with atomics must not run where anybody has asked for the same gradients each time.
bool deterministic(const AttentionOptions& options) {
  return options.deterministic || at::globalContext().deterministicAlgorithms();
}

bool may_run_kernel(const Tensor& q, const Tensor& k, const Tensor& v, const OptionalTensor& mask,
                    const AttentionOptions& options) {
  return !mask && options.plain() && at::isReducedFloatingType(q.scalar_type()) && q.numel() > 0 &&
         k.numel() > 0 && v.numel() > 0;
}

std::tuple<Tensor, Tensor> forward_cuda(const Tensor& q, const Tensor& k, const Tensor& v,
                                        const OptionalTensor& mask, double scale, bool causal,
                                        const AttentionOptions& options) {
  check_attention_inputs(q, k, v, mask);
  check_attention_options(q, k, options);
  if (cuda_isa(q) != CudaIsa::kSm90)
    return flash_attention_forward_ampere(q, k, v, mask, scale, causal, options);
  // One query sees every key, and wants them split among blocks, which torch's kernel does and ours does not.
  const bool one_query = q.size(1) == 1;
  if (!one_query && may_run_kernel(q, k, v, mask, options)) {
    const c10::cuda::CUDAGuard guard(q.device());
    const Tensor its_q = readable(q), its_k = readable(k), its_v = readable(v);
    const Tensor out = at::empty({q.size(0), q.size(1), q.size(2), v.size(3)}, q.options());
    const Tensor lse = at::empty({q.size(0), q.size(2), q.size(1)}, q.options().dtype(at::kFloat));
    const cuda::AttentionForward call = {half_type(q),   shape_of(q, k, v), static_cast<float>(scale),
                                         causal,         operand(its_q),    operand(its_k),
                                         operand(its_v), operand(out),      lse.data_ptr<float>()};
    if (cuda::attention_forward_sm90_supports(call)) {
      C10_CUDA_CHECK(cuda::attention_forward_sm90(call, at::cuda::getCurrentCUDAStream()));
      return {out, lse};
    }
  }
  return flash_attention_forward_aten(q, k, v, mask, scale, causal && !one_query, options);
}

AttentionGradients backward_cuda(const Tensor& grad_out, const Tensor& q, const Tensor& k, const Tensor& v,
                                 const Tensor& out, const Tensor& lse, const OptionalTensor& mask,
                                 double scale, bool causal, const AttentionOptions& options, bool bias_grad) {
  check_attention_inputs(q, k, v, mask);
  check_attention_options(q, k, options);
  check_attention_gradient(grad_out, q, v, out, lse);
  if (cuda_isa(q) != CudaIsa::kSm90)
    return flash_attention_backward_ampere(grad_out, q, k, v, out, lse, mask, scale, causal, options,
                                           bias_grad);
  if (may_run_kernel(q, k, v, mask, options) && !deterministic(options)) {
    const c10::cuda::CUDAGuard guard(q.device());
    const Tensor its_q = readable(q), its_k = readable(k), its_v = readable(v), its_out = readable(out),
                 its_grad = readable(grad_out), its_lse = lse.contiguous();
    const Tensor grad_q = at::empty(q.sizes(), q.options()), grad_k = at::empty(k.sizes(), k.options()),
                 grad_v = at::empty(v.sizes(), v.options());
    cuda::AttentionBackward call = {half_type(q),
                                    shape_of(q, k, v),
                                    static_cast<float>(scale),
                                    causal,
                                    operand(its_q),
                                    operand(its_k),
                                    operand(its_v),
                                    operand(its_out),
                                    operand(its_grad),
                                    its_lse.data_ptr<float>(),
                                    operand(grad_q),
                                    operand(grad_k),
                                    operand(grad_v),
                                    nullptr};
    if (cuda::attention_backward_sm90_supports(call)) {
      const Tensor workspace =
          at::empty({cuda::attention_backward_sm90_workspace(call.shape)}, q.options().dtype(at::kByte));
      call.workspace = workspace.data_ptr();
      C10_CUDA_CHECK(cuda::attention_backward_sm90(call, at::cuda::getCurrentCUDAStream()));
      return {grad_q, grad_k, grad_v, empty_bias_gradient(q, options, false),
              empty_sink_gradient(q, options)};
    }
  }
  return flash_attention_backward_aten(grad_out, q, k, v, out, lse, mask, scale, causal, options, bias_grad);
}

}  // namespace
}  // namespace zeta::ops

TORCH_LIBRARY_IMPL(zeta, CUDA, m) {
  m.impl("flash_attention_forward", zeta::ops::flat_forward<zeta::ops::forward_cuda>);
  m.impl("flash_attention_backward", zeta::ops::flat_backward<zeta::ops::backward_cuda>);
}
