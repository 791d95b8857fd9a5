#include "kernels/cuda/attention/forward_float8.cuh"

#include <algorithm>

#include "kernels/cuda/attention/arrange_values.cuh"
#include "kernels/cuda/attention/operands.h"

namespace zeta::cuda {
namespace {

constexpr int kRowBlocksTogether = 4;
constexpr int64_t kMostTiles = INT32_MAX / (2 * kRowBlocksTogether);
constexpr int kWideKeys = 96, kNarrowKeys = 128;  // of a tile

// The copy engine moves bytes: to it rows of bytes are rows of half as many 2-byte elements.
hopper::HalfTensor pairs(const AttentionTensor& t, int64_t batch, int64_t seq, int64_t heads, int64_t dim) {
  return {t.data, dim / 2, seq, heads, batch, t.seq_stride / 2, t.head_stride / 2, t.batch_stride / 2};
}
hopper::HalfTensor query_pairs(const AttentionForwardFloat8& a) {
  return pairs(a.q, a.shape.batch, a.shape.seq_q, a.shape.num_heads, a.shape.head_dim);
}
hopper::HalfTensor key_pairs(const AttentionTensor& t, const AttentionShape& s, int64_t dim) {
  return pairs(t, s.batch, s.seq_k, s.num_kv_heads, dim);
}

bool wide(const AttentionShape& s) { return std::max(s.head_dim, s.value_dim) > 64; }
int64_t values_bytes(const AttentionShape& s) {  // of a (batch, kv head)
  return (s.seq_k + kNarrowKeys) * (wide(s) ? 128 : 64);
}

template <class Traits>
cudaError_t arrange(const AttentionForwardFloat8& args, cudaStream_t stream) {
  const AttentionShape& s = args.shape;
  ArrangeValues p = {args.v, static_cast<char*>(args.workspace)};
  p.columns = Traits::kValueDim;
  p.keys = static_cast<int>((s.seq_k + Traits::kKeys - 1) / Traits::kKeys * Traits::kKeys);
  p.to_stride = int64_t{p.keys} * p.columns;
  p.seq_k = static_cast<int>(s.seq_k);
  p.num_kv_heads = static_cast<int>(s.num_kv_heads);
  p.value_dim = static_cast<int>(s.value_dim);
  const int64_t threads = int64_t{p.keys} / 16 * (p.columns / 4);
  const dim3 grid(static_cast<unsigned>((threads + 255) / 256),
                  static_cast<unsigned>(s.batch * s.num_kv_heads));
  arrange_values_kernel<<<grid, 256, 0, stream>>>(p);
  return cudaGetLastError();
}

template <class Traits>
cudaError_t launch(const AttentionForwardFloat8& args, cudaStream_t stream) {
  const AttentionShape& s = args.shape;
  Float8Params p;
  int device = 0, multiprocessors = 0;
  for (const auto error :
       {arrange<Traits>(args, stream), hopper::map_boxes(&p.q, query_pairs(args), Traits::kRows),
        hopper::map_boxes(&p.k, key_pairs(args.k, s, s.head_dim), Traits::kKeys), cudaGetDevice(&device)})
    if (error != cudaSuccess) return error;
  if (const auto error = cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device))
    return error;
  p.values = static_cast<const char*>(args.workspace);
  p.values_stride = (s.seq_k + Traits::kKeys - 1) / Traits::kKeys * Traits::kKeys * Traits::kValueDim;
  p.schedule = {static_cast<int>((s.seq_q + Traits::kRows - 1) / Traits::kRows),
                static_cast<int>(s.num_heads), static_cast<int>(s.batch * s.num_heads),
                Traits::kCausal ? kRowBlocksTogether : 0};
  p.seq_q = static_cast<int>(s.seq_q);
  p.seq_k = static_cast<int>(s.seq_k);
  p.num_heads = static_cast<int>(s.num_heads);
  p.group = static_cast<int>(s.num_heads / s.num_kv_heads);
  p.value_dim = static_cast<int>(s.value_dim);
  p.scale = args.softmax_scale;
  p.q_descale = args.q_descale;
  p.k_descale = args.k_descale;
  p.v_descale = args.v_descale;
  p.out = args.out.data;
  p.out_batch_stride = args.out.batch_stride;
  p.out_seq_stride = args.out.seq_stride;
  p.out_head_stride = args.out.head_stride;
  p.lse = args.lse;
  const auto kernel = float8_forward_kernel<Traits>;
  if (const auto error =
          cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, Traits::kSharedBytes))
    return error;
  kernel<<<std::min(p.schedule.tiles(), multiprocessors), Traits::kThreads, Traits::kSharedBytes, stream>>>(
      p);
  return cudaGetLastError();
}

template <bool kCausal>
cudaError_t launch_dim(const AttentionForwardFloat8& args, cudaStream_t stream) {
  if (wide(args.shape)) return launch<Float8Traits<128, 128, 3, kWideKeys, kCausal>>(args, stream);
  return launch<Float8Traits<64, 64, 3, kNarrowKeys, kCausal>>(args, stream);
}

}  // namespace

int64_t attention_forward_float8_workspace(const AttentionShape& s) {
  return s.batch * s.num_kv_heads * values_bytes(s);
}

bool attention_forward_float8_supports(const AttentionForwardFloat8& args) {
  const AttentionShape& s = args.shape;
  return s.head_dim <= 128 && s.value_dim <= 128 && args.softmax_scale > 0 && can_map(query_pairs(args)) &&
         can_map(key_pairs(args.k, s, s.head_dim)) && can_map(key_pairs(args.v, s, s.value_dim)) &&
         in_sixteen_bytes(args.out) && s.batch * s.num_kv_heads <= 65535 &&
         s.batch * s.num_heads * ((s.seq_q + 63) / 64) <= kMostTiles && s.seq_q + s.seq_k <= INT32_MAX / 8;
}

cudaError_t attention_forward_float8(const AttentionForwardFloat8& args, cudaStream_t stream) {
  if (args.shape.batch * args.shape.num_heads * args.shape.seq_q == 0) return cudaSuccess;
  return args.causal ? launch_dim<true>(args, stream) : launch_dim<false>(args, stream);
}

}  // namespace zeta::cuda
