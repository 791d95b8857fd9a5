// The flash_attention_varlen ops on CUDA: one launch over all sequences' tiles on Hopper, else
// ATen.
#include <ATen/ATen.h>
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <torch/library.h>

#include "src/ops/flash_attention_aten.h"
#include "src/ops/flash_attention_check.h"
#include "src/ops/flash_attention_cuda_operands.h"

namespace zeta::ops {
namespace {

using at::Tensor;

Tensor bytes(int64_t count, const Tensor& q) { return at::empty({count}, q.options().dtype(at::kByte)); }
Tensor as_batch(const Tensor& t) { return t.unsqueeze(0); }

std::tuple<Tensor, Tensor> forward_cuda(const Tensor& q, const Tensor& k, const Tensor& v,
                                        const PackedLengths& lengths, double scale, bool causal,
                                        const AttentionOptions& options) {
  check_packed_inputs(q, k, v, lengths, options);
  if (hopper_can_read(q, k, v)) {
    const c10::cuda::CUDAGuard guard(q.device());
    const auto sequences = packed_sequences(q, k, lengths);
    const HopperOperands its(as_batch(q), as_batch(k), as_batch(v));
    const HopperOptions extra(as_batch(q), as_batch(k), {}, options, static_cast<int64_t>(sequences.size()));
    const HopperPacking packing(q, sequences, false, cuda::attention_forward_rows(),
                                cuda::attention_forward_rows(), causal);
    const Tensor out = at::empty({1, q.size(0), q.size(1), its.shape.value_dim}, q.options());
    const Tensor lse = at::empty({q.size(1), q.size(0)}, q.options().dtype(at::kFloat));
    const cuda::AttentionForward call = {its.type,
                                         its.shape,
                                         static_cast<float>(scale),
                                         causal,
                                         hopper_operand(its.q),
                                         hopper_operand(its.k),
                                         hopper_operand(its.v),
                                         hopper_operand(out),
                                         lse.data_ptr<float>(),
                                         extra.options,
                                         packing.packing};
    if (cuda::attention_forward_options_supports(call)) {
      C10_CUDA_CHECK(cuda::attention_forward_options(call, at::cuda::getCurrentCUDAStream()));
      return {out.squeeze(0).narrow(2, 0, v.size(2)).contiguous(), lse};
    }
  }
  return flash_attention_varlen_forward_aten(q, k, v, lengths, scale, causal, options);
}

PackedGradients backward_cuda(const Tensor& grad_out, const Tensor& q, const Tensor& k, const Tensor& v,
                              const Tensor& out, const Tensor& lse, const PackedLengths& lengths,
                              double scale, bool causal, const AttentionOptions& options) {
  check_packed_inputs(q, k, v, lengths, options);
  check_packed_gradient(grad_out, q, v, out, lse);
  if (hopper_can_read(q, k, v)) {
    const c10::cuda::CUDAGuard guard(q.device());
    const auto sequences = packed_sequences(q, k, lengths);
    const HopperOperands its(as_batch(q), as_batch(k), as_batch(v));
    const HopperOptions extra(as_batch(q), as_batch(k), {}, options, static_cast<int64_t>(sequences.size()));
    const HopperPacking packing(q, sequences, true, cuda::attention_backward_rows(its.shape),
                                cuda::attention_backward_queries(its.shape), causal);
    const Tensor its_out = hopper_readable(as_batch(out)), its_grad = hopper_readable(as_batch(grad_out)),
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
                                    nullptr,
                                    extra.options,
                                    packing.packing,
                                    {},
                                    must_be_deterministic(options)};
    if (cuda::attention_backward_options_supports(call)) {
      const Tensor workspace = bytes(cuda::attention_backward_options_workspace(call), q);
      call.workspace = workspace.data_ptr();
      C10_CUDA_CHECK(cuda::attention_backward_options(call, at::cuda::getCurrentCUDAStream()));
      const auto rows = [](const Tensor& t, const Tensor& like) {
        return t.squeeze(0).narrow(2, 0, like.size(2)).contiguous();
      };
      return {rows(grad_q, q), rows(grad_k, k), rows(grad_v, v), sink_gradient(grad_out, out, lse, options)};
    }
  }
  return flash_attention_varlen_backward_aten(grad_out, q, k, v, out, lse, lengths, scale, causal, options);
}

}  // namespace
}  // namespace zeta::ops

TORCH_LIBRARY_IMPL(zeta, CUDA, m) {
  m.impl("flash_attention_varlen_forward", zeta::ops::flat_varlen_forward<zeta::ops::forward_cuda>);
  m.impl("flash_attention_varlen_backward", zeta::ops::flat_varlen_backward<zeta::ops::backward_cuda>);
}
