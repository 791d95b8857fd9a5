// zeta::paged_attention on CUDA, by the decode kernels where they compute what is asked for, else by ATen.
#include <ATen/ATen.h>
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGraphsC10Utils.h>
#include <c10/cuda/CUDAGuard.h>
#include <torch/library.h>

#include "src/ops/decode_cuda.h"
#include "src/ops/paged_attention.h"

namespace zeta::ops {
namespace {

using at::Tensor;

bool capturing() {
  return c10::cuda::currentStreamCaptureStatusMayInitCtx() != c10::cuda::CaptureStatus::None;
}

// (total, …) as a batch of one.
Tensor batched(const Tensor& t) { return t.dim() == 3 ? t.unsqueeze(0) : t; }

void set_descale(const std::optional<Tensor>& descale, const cuda::DecodeAttention& call, const float*& data,
                 int32_t (&strides)[2]) {
  if (!descale) return;
  const Tensor all = descale->expand({call.sequences, call.num_kv_heads});
  data = all.const_data_ptr<float>();
  strides[0] = decode_size(all.stride(0));
  strides[1] = decode_size(all.stride(1));
}

cuda::DecodeKeys keys_of(const PagedAttention& a, const Tensor& table, const Tensor& seq_lens) {
  cuda::DecodeKeys keys;
  keys.k = decode_view(a.k_cache);
  keys.v = decode_view(a.v_cache);
  keys.float8 = a.float8();
  keys.table = table.const_data_ptr<int32_t>();
  keys.table_stride = decode_size(table.stride(0));
  keys.max_pages = decode_size(table.size(1));
  keys.num_pages = decode_size(a.k_cache.size(0));
  keys.page_size = decode_size(a.k_cache.size(1));
  keys.seq_lens = seq_lens.const_data_ptr<int32_t>();
  keys.appended = a.k_new.has_value();
  return keys;
}

// What is rotated and appended, and the tensors that keep it alive.
struct New {
  explicit New(const PagedAttention& a) {
    const auto whole = [](const Tensor& t) {
      bool fits = t.stride(-1) == 1;
      for (const int64_t stride : t.strides()) fits = fits && decode_size(stride) >= 0;
      return batched(fits ? t : t.contiguous());
    };
    if (a.k_new) {
      k = whole(*a.k_new);
      v = whole(*a.v_new);
      call.k = decode_view(k);
      call.v = decode_view(v);
    }
    if (!a.rotary_cos) return;
    cos = a.rotary_cos->to(at::kFloat).contiguous();
    sin = a.rotary_sin->to(at::kFloat).contiguous();
    q = at::empty(a.q.sizes(), a.q.options());
    call.cos = cos.const_data_ptr<float>();
    call.sin = sin.const_data_ptr<float>();
    call.positions = decode_size(cos.size(0));
    call.rotary_dim = decode_size(2 * cos.size(1));
    call.interleaved = a.rotary_interleaved;
    call.rotated_q = q.mutable_data_ptr();
  }

  Tensor k, v, cos, sin, q;
  cuda::DecodeNew call;
};

// Waits for the device; read_paged_layout then says what is wrong, and where.
void validate(const PagedAttention& a, const cuda::DecodeAttention& call, const cuda::DecodeNew& added) {
  const Tensor bad = at::zeros({1}, a.q.options().dtype(at::kInt));
  C10_CUDA_CHECK(
      cuda::decode_check(call, added, bad.mutable_data_ptr<int32_t>(), at::cuda::getCurrentCUDAStream()));
  if (bad.item<int32_t>() != 0) read_paged_layout(a);
}

std::tuple<Tensor, Tensor> forward_cuda(const PagedAttention& a) {
  check_paged_attention(a);
  const c10::cuda::CUDAGuard guard(a.q.device());
  const Tensor q = batched(decode_readable(a.q));
  const int64_t batch = a.seq_lens.size(0), total = q.size(0) * q.size(1), heads = q.size(2);
  if (has_decode_kernel(q) && total > 0 && a.v_cache.numel() > 0 && a.k_cache.numel() > 0) {
    const Tensor out = at::empty({q.size(0), q.size(1), heads, a.v_cache.size(3)}, q.options());
    const Tensor lse = at::empty({q.size(0), heads, q.size(1)}, q.options().dtype(at::kFloat));
    const Tensor table = a.block_table.stride(1) == 1 ? a.block_table : a.block_table.contiguous();
    const Tensor seq_lens = a.seq_lens.contiguous();
    const Tensor starts = a.cu_seqlens_q ? a.cu_seqlens_q->contiguous() : Tensor();
    const New added(a);
    DecodeCall decode(q, out, lse, batch, a.softmax_scale, a.causal, a.options);
    cuda::DecodeAttention& call = decode.call;
    call.num_kv_heads = decode_size(a.k_cache.size(2));
    call.keys = keys_of(a, table, seq_lens);
    set_descale(a.k_descale, call, call.keys.k_descale, call.keys.k_descale_strides);
    set_descale(a.v_descale, call, call.keys.v_descale, call.keys.v_descale_strides);
    if (starts.defined()) call.queries.cu_seqlens = starts.const_data_ptr<int32_t>();
    if (cuda::decode_supports(call)) {
      if (a.validate && !capturing()) validate(a, call, added.call);
      run_decode(call, added.call, q);
      return a.q.dim() == 3 ? std::tuple(out.squeeze(0), lse.squeeze(0)) : std::tuple(out, lse);
    }
  }
  TORCH_CHECK(
      !capturing(),
      "paged_attention: expected no CUDA graph to be captured, since without a kernel (bfloat16 or float16, "
      "dims that are multiples of 8, data aligned to 16 bytes) the host reads the lengths; got q of ",
      a.q.scalar_type(), " and ", a.q.sizes());
  return paged_attention_aten(a);
}

}  // namespace
}  // namespace zeta::ops

TORCH_LIBRARY_IMPL(zeta, CUDA, m) {
  m.impl("paged_attention", zeta::ops::flat_paged<zeta::ops::forward_cuda>);
}
