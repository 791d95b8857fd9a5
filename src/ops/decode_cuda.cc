#include "src/ops/decode_cuda.h"

#include <ATen/ATen.h>
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>

#include <algorithm>
#include <limits>

namespace zeta::ops {
namespace {

using at::Tensor;

constexpr int64_t kTileRows = 16;  // one tile: keys are read once

// Beyond any sequence, and far from overflow.
int32_t window_of(const c10::SymInt& size) {
  return static_cast<int32_t>(std::min(size.expect_int(), int64_t{1} << 29));
}

}  // namespace

bool has_decode_kernel(const Tensor& q) {
  return at::isReducedFloatingType(q.scalar_type()) &&
         at::cuda::getDeviceProperties(q.get_device())->major >= 8;
}

Tensor decode_readable(const Tensor& t) {
  const int64_t elements = 16 / t.element_size();
  bool reads = t.stride(-1) == 1 && reinterpret_cast<uintptr_t>(t.const_data_ptr()) % 16 == 0;
  for (int64_t d = 0; d < t.dim() - 1; ++d) reads = reads && (t.size(d) == 1 || t.stride(d) % elements == 0);
  return reads ? t : t.clone(at::MemoryFormat::Contiguous);
}

int32_t decode_size(int64_t size) {
  return size <= std::numeric_limits<int32_t>::max() ? static_cast<int32_t>(size) : -1;
}

cuda::DecodeTensor decode_view(const Tensor& t) {
  const auto stride = [&](int64_t d) { return t.size(d) == 1 ? 0 : decode_size(t.stride(d)); };
  return {t.data_ptr(), stride(0), stride(1), stride(2)};
}

DecodeCall::DecodeCall(const Tensor& q, const Tensor& out, const Tensor& lse, int64_t sequences, double scale,
                       bool causal, const AttentionOptions& options)
    : call{} {
  call.type = q.scalar_type() == at::kHalf ? cuda::HalfType::kFloat16 : cuda::HalfType::kBFloat16;
  call.sequences = decode_size(sequences);
  call.num_heads = decode_size(q.size(2));
  call.head_dim = decode_size(q.size(3));
  call.value_dim = decode_size(out.size(3));
  call.softmax_scale = static_cast<float>(scale);
  call.causal = causal;
  call.window_left = window_of(options.window_left);
  call.window_right = window_of(options.window_right);
  call.softcap = static_cast<float>(options.softcap);
  if (options.alibi_slopes) {
    slopes = options.alibi_slopes->expand({sequences, q.size(2)});
    if (slopes.stride(1) != 1) slopes = slopes.contiguous();
    call.alibi = slopes.const_data_ptr<float>();
    call.alibi_stride = decode_size(slopes.stride(0));
  }
  if (options.sinks) {
    sinks = options.sinks->to(at::kFloat).contiguous();
    call.sinks = sinks.const_data_ptr<float>();
  }
  call.queries = {nullptr, decode_size(q.size(1)), decode_size(q.size(0) * q.size(1))};
  call.q = decode_view(q);
  call.out = decode_view(out);
  call.lse = lse.data_ptr<float>();
  call.lse_batch_stride = decode_size(lse.stride(0));
  call.lse_head_stride = decode_size(lse.stride(1));
}

void run_decode(cuda::DecodeAttention& call, const cuda::DecodeNew& added, const Tensor& q) {
  size_t bytes = 0;
  C10_CUDA_CHECK(cuda::decode_workspace(call, bytes));
  Tensor workspace;
  if (bytes > 0) {
    workspace = at::empty({static_cast<int64_t>(bytes)}, q.options().dtype(at::kByte));
    call.workspace = workspace.mutable_data_ptr();
  }
  C10_CUDA_CHECK(cuda::decode_attention(call, added, at::cuda::getCurrentCUDAStream()));
}

std::optional<std::tuple<Tensor, Tensor>> flash_attention_decode(const Tensor& q, const Tensor& k,
                                                                 const Tensor& v,
                                                                 const std::optional<Tensor>& mask,
                                                                 double scale, bool causal,
                                                                 const AttentionOptions& options) {
  if (mask || options.bias || options.dropout_p > 0 || q.numel() == 0 || k.numel() == 0 || v.numel() == 0 ||
      !has_decode_kernel(q))
    return {};
  const int64_t rows = q.size(1) * (q.size(2) / k.size(2));
  if (q.size(1) > 1 && rows > kTileRows) return {};
  const c10::cuda::CUDAGuard guard(q.device());
  const Tensor its_q = decode_readable(q), its_k = decode_readable(k), its_v = decode_readable(v);
  const Tensor out = at::empty({q.size(0), q.size(1), q.size(2), v.size(3)}, q.options());
  const Tensor lse = at::empty({q.size(0), q.size(2), q.size(1)}, q.options().dtype(at::kFloat));
  DecodeCall decode(its_q, out, lse, q.size(0), scale, causal, options);
  cuda::DecodeAttention& call = decode.call;
  call.num_kv_heads = decode_size(k.size(2));
  call.keys.k = decode_view(its_k);
  call.keys.v = decode_view(its_v);
  call.keys.seq_k = decode_size(k.size(1));
  if (!cuda::decode_supports(call)) return {};
  run_decode(call, {}, q);
  return std::tuple(out, lse);
}

}  // namespace zeta::ops
