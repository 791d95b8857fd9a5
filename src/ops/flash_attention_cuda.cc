// The flash_attention ops on CUDA: our kernels where they compute what is asked for, else ATen.
#include <ATen/ATen.h>
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <torch/library.h>

#include "src/ops/cuda_isa.h"
#include "src/ops/decode_cuda.h"
#include "src/ops/flash_attention_ampere.h"
#include "src/ops/flash_attention_aten.h"
#include "src/ops/flash_attention_check.h"
#include "src/ops/flash_attention_cuda_operands.h"
#include "src/ops/flash_attention_dispatch.h"

namespace zeta::ops {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

cuda::AttentionBiasGradient bias_gradient(const Tensor& sum) {
  return {sum.data_ptr<float>(), sum.stride(0), sum.stride(1), sum.stride(2), sum.stride(3)};
}

Tensor bytes(int64_t count, const Tensor& q) { return at::empty({count}, q.options().dtype(at::kByte)); }

std::tuple<Tensor, Tensor> forward_cuda(const Tensor& q, const Tensor& k, const Tensor& v,
                                        const OptionalTensor& mask, double scale, bool causal,
                                        const AttentionOptions& options) {
  check_attention_inputs(q, k, v, mask);
  check_attention_options(q, k, options);
  if (auto result = flash_attention_decode(q, k, v, mask, scale, causal, options)) return *std::move(result);
  if (cuda_isa(q) != CudaIsa::kSm90)
    return flash_attention_forward_ampere(q, k, v, mask, scale, causal, options);
  if (auto result = flash_attention_forward_cudnn(q, k, v, mask, scale, causal, options))
    return *std::move(result);
  const bool plain = !mask && options.plain();
  // One query sees every key, and wants them split among blocks, which torch's kernel does and this does not.
  const bool one_query = q.size(1) == 1;
  if (hopper_can_read(q, k, v) && !(one_query && plain)) {
    const c10::cuda::CUDAGuard guard(q.device());
    const auto stream = at::cuda::getCurrentCUDAStream();
    const HopperOperands its(q, k, v);
    const HopperOptions extra(q, k, mask, options, q.size(0));
    const Tensor out = at::empty({q.size(0), q.size(1), q.size(2), its.shape.value_dim}, q.options());
    const Tensor lse = at::empty({q.size(0), q.size(2), q.size(1)}, q.options().dtype(at::kFloat));
    cuda::AttentionForward call = {its.type,
                                   its.shape,
                                   static_cast<float>(scale),
                                   causal,
                                   hopper_operand(its.q),
                                   hopper_operand(its.k),
                                   hopper_operand(its.v),
                                   hopper_operand(out),
                                   lse.data_ptr<float>()};
    const auto result = [&] { return out.narrow(3, 0, v.size(3)).contiguous(); };
    if (plain && cuda::attention_forward_sm90_supports(call)) {
      C10_CUDA_CHECK(cuda::attention_forward_sm90(call, stream));
      return {result(), lse};
    }
    call.options = extra.options;
    if (cuda::attention_forward_options_supports(call)) {
      const Tensor workspace = bytes(cuda::attention_forward_options_workspace(call), q);
      call.workspace = workspace.data_ptr();
      C10_CUDA_CHECK(cuda::attention_forward_options(call, stream));
      return {result(), lse};
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
  const bool plain = !mask && options.plain();
  const bool deterministic = must_be_deterministic(options);
  // Elements of a bias that many scores share would get their sums in an order that varies.
  const bool ordered = !deterministic || !bias_grad || !options.bias ||
                       options.bias->numel() == q.size(0) * q.size(2) * q.size(1) * k.size(1);
  if (hopper_can_read(q, k, v) && ordered) {
    const c10::cuda::CUDAGuard guard(q.device());
    const auto stream = at::cuda::getCurrentCUDAStream();
    const HopperOperands its(q, k, v);
    const HopperOptions extra(q, k, mask, options, q.size(0));
    const Tensor its_out = hopper_readable(out), its_grad = hopper_readable(grad_out),
                 its_lse = lse.contiguous();
    const Tensor grad_q = at::empty(its.q.sizes(), q.options()),
                 grad_k = at::empty(its.k.sizes(), q.options()),
                 grad_v = at::empty(its.v.sizes(), q.options());
    cuda::AttentionBackward call = {its.type,
                                    its.shape,
                                    static_cast<float>(scale),
                                    causal,
                                    hopper_operand(its.q),
                                    hopper_operand(its.k),
                                    hopper_operand(its.v),
                                    hopper_operand(its_out),
                                    hopper_operand(its_grad),
                                    its_lse.data_ptr<float>(),
                                    hopper_operand(grad_q),
                                    hopper_operand(grad_k),
                                    hopper_operand(grad_v),
                                    nullptr};
    const auto of_dim = [](const Tensor& t, int64_t dim) { return t.narrow(3, 0, dim).contiguous(); };
    if (plain && !deterministic && cuda::attention_backward_sm90_supports(call)) {
      const Tensor workspace = bytes(cuda::attention_backward_sm90_workspace(call.shape), q);
      call.workspace = workspace.data_ptr();
      C10_CUDA_CHECK(cuda::attention_backward_sm90(call, stream));
      return {of_dim(grad_q, q.size(3)), of_dim(grad_k, q.size(3)), of_dim(grad_v, v.size(3)),
              empty_bias_gradient(q, options, false), empty_sink_gradient(q, options)};
    }
    call.options = extra.options;
    call.deterministic = deterministic;
    Tensor bias_sum;
    if (options.bias && bias_grad) {
      bias_sum = at::zeros(options.bias->sizes(), q.options().dtype(at::kFloat));
      call.grad_bias = bias_gradient(bias_sum.expand(extra.bias.sizes()));
    }
    if (cuda::attention_backward_options_supports(call)) {
      const Tensor workspace = bytes(cuda::attention_backward_options_workspace(call), q);
      call.workspace = workspace.data_ptr();
      C10_CUDA_CHECK(cuda::attention_backward_options(call, stream));
      return {of_dim(grad_q, q.size(3)), of_dim(grad_k, q.size(3)), of_dim(grad_v, v.size(3)),
              bias_sum.defined() ? bias_sum.to(options.bias->scalar_type())
                                 : empty_bias_gradient(q, options, false),
              sink_gradient(grad_out, out, lse, options)};
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
