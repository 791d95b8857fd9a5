#include "kernels/cuda/attention/backward_sm90.cuh"

#include "kernels/cuda/attention/backward_rows.cuh"
#include "kernels/cuda/attention/operands.h"

namespace zeta::cuda {
namespace {

constexpr int64_t kPart = 8192;  // of dQ, what a block of queries has

int64_t head_dim_of_kernel(const AttentionShape& s) {
  return s.head_dim <= 64 && s.value_dim <= 64 ? 64 : 128;
}
int64_t query_blocks(const AttentionShape& s) {
  const int64_t queries = kPart / head_dim_of_kernel(s);
  return (s.seq_q + queries - 1) / queries;
}
int64_t statistics_floats(const AttentionShape& s) {
  return s.batch * s.num_heads * query_blocks(s) * 2 * (kPart / head_dim_of_kernel(s));
}

void copy_strides(const AttentionTensor& t, int64_t (&strides)[3]) {
  strides[0] = t.batch_stride, strides[1] = t.seq_stride, strides[2] = t.head_stride;
}

template <class Traits>
cudaError_t launch(const AttentionBackward& args, cudaStream_t stream) {
  const AttentionShape& s = args.shape;
  BackwardParams p;
  for (const auto error :
       {hopper::map_boxes(&p.q, query_tensor(args.q, s, s.head_dim), Traits::kQueries),
        hopper::map_boxes(&p.k, key_tensor(args.k, s, s.head_dim), Traits::kKeys),
        hopper::map_boxes(&p.v, key_tensor(args.v, s, s.value_dim), Traits::kKeys),
        hopper::map_boxes(&p.grad_out, query_tensor(args.grad_out, s, s.value_dim), Traits::kQueries)})
    if (error != cudaSuccess) return error;
  p.seq_q = static_cast<int>(s.seq_q), p.seq_k = static_cast<int>(s.seq_k);
  p.num_heads = static_cast<int>(s.num_heads), p.group = static_cast<int>(s.num_heads / s.num_kv_heads);
  p.head_dim = static_cast<int>(s.head_dim), p.value_dim = static_cast<int>(s.value_dim);
  p.query_blocks = static_cast<int>(query_blocks(s));
  p.scale = args.softmax_scale;
  p.statistics = static_cast<float*>(args.workspace);
  p.grad_q = static_cast<float*>(args.workspace) + statistics_floats(s);
  p.grad_k = args.grad_k.data, p.grad_v = args.grad_v.data;
  copy_strides(args.grad_k, p.grad_k_strides), copy_strides(args.grad_v, p.grad_v_strides);
  RowParams rows{args.out.data, args.grad_out.data, {}, {}, args.lse, args.grad_q.data, {}};
  copy_strides(args.out, rows.out_strides), copy_strides(args.grad_out, rows.grad_out_strides);
  copy_strides(args.grad_q, rows.grad_q_strides);

  const auto kernel = backward_kernel<Traits>;
  const auto error =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, Traits::kSharedBytes);
  if (error != cudaSuccess) return error;
  const auto heads = static_cast<unsigned>(s.num_heads), kv_heads = static_cast<unsigned>(s.num_kv_heads),
             batch = static_cast<unsigned>(s.batch), blocks = static_cast<unsigned>(p.query_blocks),
             key_blocks = static_cast<unsigned>((s.seq_k + Traits::kKeys - 1) / Traits::kKeys);
  constexpr unsigned kRowBlocks = Traits::kQueries * Traits::kHeadDim / 8 / 256;
  prepare_backward<Traits><<<dim3(blocks * kRowBlocks, heads, batch), 256, 0, stream>>>(p, rows);
  kernel<<<dim3(key_blocks, kv_heads, batch), Traits::kThreads, Traits::kSharedBytes, stream>>>(p);
  finish_backward<Traits><<<dim3(blocks, heads, batch), 256, 0, stream>>>(p, rows);
  return cudaGetLastError();
}

template <typename T, bool kCausal>
cudaError_t launch_dim(const AttentionBackward& args, cudaStream_t stream) {
  if (head_dim_of_kernel(args.shape) == 64) return launch<BackwardTraits<64, 128, kCausal, T>>(args, stream);
  return launch<BackwardTraits<128, 64, kCausal, T>>(args, stream);
}

}  // namespace

int64_t attention_backward_sm90_workspace(const AttentionShape& s) {
  return 4 * (statistics_floats(s) + s.batch * s.num_heads * query_blocks(s) * kPart);
}

bool attention_backward_sm90_supports(const AttentionBackward& args) {
  const AttentionShape& s = args.shape;
  constexpr int64_t kMost = 65535;                  // of a grid's second and third dimension
  constexpr int64_t kMostQueries = INT32_MAX / 32;  // prepare_backward counts their 16 lanes in int
  return s.head_dim <= 128 && s.value_dim <= 128 && args.softmax_scale > 0 && s.num_heads <= kMost &&
         s.batch <= kMost && s.seq_q <= kMostQueries && s.seq_q + s.seq_k <= INT32_MAX - 512 &&
         can_map(query_tensor(args.q, s, s.head_dim)) && can_map(key_tensor(args.k, s, s.head_dim)) &&
         can_map(key_tensor(args.v, s, s.value_dim)) &&
         can_map(query_tensor(args.grad_out, s, s.value_dim)) && in_sixteen_bytes(args.out) &&
         in_sixteen_bytes(args.grad_out) && in_sixteen_bytes(args.grad_q) && in_sixteen_bytes(args.grad_k) &&
         in_sixteen_bytes(args.grad_v);
}

cudaError_t attention_backward_sm90(const AttentionBackward& args, cudaStream_t stream) {
  if (args.type == HalfType::kBFloat16)
    return args.causal ? launch_dim<__nv_bfloat16, true>(args, stream)
                       : launch_dim<__nv_bfloat16, false>(args, stream);
  return args.causal ? launch_dim<__half, true>(args, stream) : launch_dim<__half, false>(args, stream);
}

}  // namespace zeta::cuda
