#include "kernels/cuda/attention/forward_options.cuh"

#include <algorithm>

#include "kernels/cuda/attention/option_params.h"

namespace zeta::cuda {
namespace {

constexpr int kRowBlocksTogether = 4;  // as in forward_sm90.cu
constexpr int kRows = 128;             // of every tile
// AttentionSchedule counts in int: chunks of every head, and a turn of all blocks beyond the last tile.
constexpr int64_t kMostTiles = INT32_MAX / (2 * kRowBlocksTogether);

template <class Plain>
cudaError_t launch(const AttentionForward& args, cudaStream_t stream) {
  using Traits = ForwardOptionTraits<Plain>;
  static_assert(Traits::kRows == kRows);
  const AttentionShape& s = args.shape;
  ForwardOptionParams p;
  for (const auto error : {hopper::map_boxes(&p.q, query_tensor(args.q, s, s.head_dim), Traits::kRows),
                           hopper::map_boxes(&p.k, key_tensor(args.k, s, s.head_dim), Traits::kKeys),
                           hopper::map_boxes(&p.v, key_tensor(args.v, s, s.value_dim), Traits::kKeys),
                           map_bias(args.options.bias, s, &p.bias)})
    if (error != cudaSuccess) return error;
  p.score = score_params(args.options, s, args.softmax_scale, args.causal);
  if (p.bias.used) p.score.bias = {};
  int device = 0, multiprocessors = 0;
  for (const auto error : {cudaGetDevice(&device),
                           cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device),
                           pack_mask(args.options.mask, s, false, args.workspace, &p.score.mask, stream)})
    if (error != cudaSuccess) return error;
  // Only causality alone makes later tiles longer.
  p.batches_together = batches_share(args.options.bias);
  p.schedule = {static_cast<int>((s.seq_q + kRows - 1) / kRows),
                static_cast<int>(p.batches_together ? s.batch : s.num_heads),
                static_cast<int>(s.batch * s.num_heads),
                p.score.window_right == 0 && p.score.window_left < 0 ? kRowBlocksTogether : 0};
  p.packing = args.packing;
  p.seq_q = static_cast<int>(s.seq_q), p.seq_k = static_cast<int>(s.seq_k);
  p.num_heads = static_cast<int>(s.num_heads);
  p.group = static_cast<int>(s.num_heads / s.num_kv_heads);
  p.value_dim = static_cast<int>(s.value_dim);
  p.scale = args.softmax_scale;
  p.out = args.out.data;
  p.out_batch_stride = args.out.batch_stride;
  p.out_seq_stride = args.out.seq_stride;
  p.out_head_stride = args.out.head_stride;
  p.lse = args.lse;
  p.lse_head_stride = s.seq_q, p.lse_batch_stride = s.seq_q * s.num_heads;
  const int tiles = args.packing.tiles ? args.packing.tile_count * p.num_heads : p.schedule.tiles();
  if (tiles == 0) return cudaSuccess;
  const auto kernel = forward_options_kernel<Traits>;
  const auto error =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, Traits::kSharedBytes);
  if (error != cudaSuccess) return error;
  kernel<<<std::min(tiles, multiprocessors), Traits::kThreads, Traits::kSharedBytes, stream>>>(p);
  return cudaGetLastError();
}

template <typename T>
cudaError_t launch_dim(const AttentionForward& args, cudaStream_t stream) {
  const int64_t dim = std::max(args.shape.head_dim, args.shape.value_dim);
  if (dim <= 64) return launch<ForwardTraits<64, 64, 2, false, T>>(args, stream);
  if (dim <= 128) return launch<ForwardTraits<128, 128, 2, false, T>>(args, stream);
  return launch<ForwardTraits<256, 256, 2, false, T, 64>>(args, stream);
}

}  // namespace

int attention_forward_rows() { return kRows; }

int64_t attention_forward_options_workspace(const AttentionForward& args) {
  return mask_workspace(args.options.mask, args.shape, false);
}

bool attention_forward_options_supports(const AttentionForward& args) {
  const AttentionShape& s = args.shape;
  return std::max(s.head_dim, s.value_dim) <= 256 && can_pack(args.options.mask, s) &&
         can_map(query_tensor(args.q, s, s.head_dim)) && can_map(key_tensor(args.k, s, s.head_dim)) &&
         can_map(key_tensor(args.v, s, s.value_dim)) && in_sixteen_bytes(args.out) &&
         s.seq_q + s.seq_k <= kMostPositions &&
         s.batch * s.num_heads * ((s.seq_q + kRows - 1) / kRows + 1) <= kMostTiles;
}

cudaError_t attention_forward_options(const AttentionForward& args, cudaStream_t stream) {
  if (args.shape.batch * args.shape.num_heads * args.shape.seq_q == 0) return cudaSuccess;
  return args.type == HalfType::kBFloat16 ? launch_dim<__nv_bfloat16>(args, stream)
                                          : launch_dim<__half>(args, stream);
}

}  // namespace zeta::cuda
