#include "kernels/cuda/attention/forward_sm90.cuh"

#include <algorithm>

#include "kernels/cuda/attention/operands.h"

namespace zeta::cuda {
namespace {

constexpr int kRowBlocksTogether = 4;  // measured: 2 and 8 are slower at 16k
// AttentionSchedule counts in int: chunks of every head, and a turn of all blocks beyond the last tile.
constexpr int64_t kMostTiles = INT32_MAX / (2 * kRowBlocksTogether);

template <class Traits>
cudaError_t launch(const AttentionForward& args, cudaStream_t stream) {
  const AttentionShape& s = args.shape;
  ForwardParams p;
  for (const auto error : {hopper::map_boxes(&p.q, query_tensor(args.q, s, s.head_dim), Traits::kRows),
                           hopper::map_boxes(&p.k, key_tensor(args.k, s, s.head_dim), Traits::kKeys),
                           hopper::map_boxes(&p.v, key_tensor(args.v, s, s.value_dim), Traits::kKeys)})
    if (error != cudaSuccess) return error;
  int device = 0, multiprocessors = 0;
  for (const auto error : {cudaGetDevice(&device),
                           cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device)})
    if (error != cudaSuccess) return error;
  p.schedule = {static_cast<int>((s.seq_q + Traits::kRows - 1) / Traits::kRows),
                static_cast<int>(s.num_heads), static_cast<int>(s.batch * s.num_heads),
                Traits::kCausal ? kRowBlocksTogether : 0};
  p.seq_q = static_cast<int>(s.seq_q);
  p.seq_k = static_cast<int>(s.seq_k);
  p.num_heads = static_cast<int>(s.num_heads);
  p.group = static_cast<int>(s.num_heads / s.num_kv_heads);
  p.value_dim = static_cast<int>(s.value_dim);
  p.scale = args.softmax_scale;
  p.out = args.out.data;
  p.out_batch_stride = args.out.batch_stride;
  p.out_seq_stride = args.out.seq_stride;
  p.out_head_stride = args.out.head_stride;
  p.lse = args.lse;
  const auto kernel = forward_kernel<Traits>;
  const auto error =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, Traits::kSharedBytes);
  if (error != cudaSuccess) return error;
  kernel<<<std::min(p.schedule.tiles(), multiprocessors), Traits::kThreads, Traits::kSharedBytes, stream>>>(
      p);
  return cudaGetLastError();
}

template <typename T, bool kCausal>
cudaError_t launch_dim(const AttentionForward& args, cudaStream_t stream) {
  if (std::max(args.shape.head_dim, args.shape.value_dim) > 64)
    return launch<ForwardTraits<128, 128, 2, kCausal, T>>(args, stream);
  // Short heads leave registers for a third warpgroup; but larger tiles waste more along the diagonal.
  if (kCausal && args.shape.seq_q <= 1024) return launch<ForwardTraits<64, 64, 2, kCausal, T>>(args, stream);
  return launch<ForwardTraits<64, 64, 3, kCausal, T>>(args, stream);
}

}  // namespace

bool attention_forward_sm90_supports(const AttentionForward& args) {
  const AttentionShape& s = args.shape;
  return s.head_dim <= 128 && s.value_dim <= 128 && args.softmax_scale > 0 &&
         can_map(query_tensor(args.q, s, s.head_dim)) && can_map(key_tensor(args.k, s, s.head_dim)) &&
         can_map(key_tensor(args.v, s, s.value_dim)) && in_sixteen_bytes(args.out) &&
         s.batch * s.num_heads * ((s.seq_q + 63) / 64) <= kMostTiles && s.seq_q + s.seq_k <= INT32_MAX - 512;
}

cudaError_t attention_forward_sm90(const AttentionForward& args, cudaStream_t stream) {
  if (args.shape.batch * args.shape.num_heads * args.shape.seq_q == 0) return cudaSuccess;
  if (args.type == HalfType::kBFloat16)
    return args.causal ? launch_dim<__nv_bfloat16, true>(args, stream)
                       : launch_dim<__nv_bfloat16, false>(args, stream);
  return args.causal ? launch_dim<__half, true>(args, stream) : launch_dim<__half, false>(args, stream);
}

}  // namespace zeta::cuda
