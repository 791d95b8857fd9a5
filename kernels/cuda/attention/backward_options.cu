#include "kernels/cuda/attention/backward_options.cuh"

#include "kernels/cuda/attention/backward_rows.cuh"
#include "kernels/cuda/attention/backward_wide.cuh"
#include "kernels/cuda/attention/option_params.h"

namespace zeta::cuda {
namespace {

template <int kHeadDim, int kQueries, typename T>
struct OptionTraits : BackwardTraits<kHeadDim, kQueries, false, T> {
  using Worker = OptionKeyWorker<OptionTraits>;
  struct Shared : BackwardTraits<kHeadDim, kQueries, false, T>::Shared {
    PackedSequence sequence;
    StepInfo infos[2];
  };
  static constexpr int kSharedBytes = sizeof(Shared) + 1024;
};

int64_t head_dim_of_kernel(const AttentionShape& s) {
  const int64_t dim = std::max(s.head_dim, s.value_dim);
  return dim <= 64 ? 64 : dim <= 128 ? 128 : 256;
}
int64_t query_blocks(const AttentionBackward& args) {
  const int64_t queries = attention_backward_queries(args.shape);
  return args.packing.sequences ? args.packing.query_blocks : (args.shape.seq_q + queries - 1) / queries;
}
// Parts of the workspace, in bytes, all multiples of 16.
struct Parts {
  int64_t statistics, grad_q, turns, mask;
  explicit Parts(const AttentionBackward& args) {
    const AttentionShape& s = args.shape;
    const int64_t rows = s.batch * s.num_heads * query_blocks(args) * attention_backward_queries(s);
    statistics = rows * 2 * 4, grad_q = rows * head_dim_of_kernel(s) * 4;
    turns = args.deterministic ? (rows / attention_backward_queries(s) * 2 * 4 + 15) / 16 * 16 : 0;
    mask = mask_workspace(args.options.mask, s, true);
  }
};

void copy_strides(const AttentionTensor& t, int64_t (&strides)[3]) {
  strides[0] = t.batch_stride, strides[1] = t.seq_stride, strides[2] = t.head_stride;
}

template <class Traits>
cudaError_t launch(const AttentionBackward& args, cudaStream_t stream) {
  const AttentionShape& s = args.shape;
  const Parts parts(args);
  auto* const workspace = static_cast<char*>(args.workspace);
  BackwardOptionParams p;
  p.score = score_params(args.options, s, args.softmax_scale, args.causal);
  p.bias.used = false;
  for (const auto error :
       {hopper::map_boxes(&p.q, query_tensor(args.q, s, s.head_dim), Traits::kQueries),
        hopper::map_boxes(&p.k, key_tensor(args.k, s, s.head_dim), Traits::kKeys),
        hopper::map_boxes(&p.v, key_tensor(args.v, s, s.value_dim), Traits::kKeys),
        hopper::map_boxes(&p.grad_out, query_tensor(args.grad_out, s, s.value_dim), Traits::kQueries),
        Traits::kKeys == 128 ? map_bias(args.options.bias, s, &p.bias) : cudaSuccess,
        pack_mask(args.options.mask, s, true, workspace + parts.statistics + parts.grad_q + parts.turns,
                  &p.score.mask, stream)})
    if (error != cudaSuccess) return error;
  if (p.bias.used) p.score.bias = {};
  p.packing = args.packing;
  p.grad_bias = args.grad_bias;
  p.batches_together = batches_share(args.options.bias);
  p.seq_q = static_cast<int>(s.seq_q), p.seq_k = static_cast<int>(s.seq_k);
  p.num_heads = static_cast<int>(s.num_heads), p.group = static_cast<int>(s.num_heads / s.num_kv_heads);
  p.head_dim = static_cast<int>(s.head_dim), p.value_dim = static_cast<int>(s.value_dim);
  p.query_blocks = static_cast<int>(query_blocks(args));
  p.scale = args.softmax_scale;
  p.statistics = reinterpret_cast<float*>(workspace);
  p.grad_q = reinterpret_cast<float*>(workspace + parts.statistics);
  p.turns =
      args.deterministic ? reinterpret_cast<int*>(workspace + parts.statistics + parts.grad_q) : nullptr;
  p.grad_k = args.grad_k.data, p.grad_v = args.grad_v.data;
  copy_strides(args.grad_k, p.grad_k_strides), copy_strides(args.grad_v, p.grad_v_strides);
  RowParams rows{args.out.data, args.grad_out.data, {}, {}, args.lse, args.grad_q.data, {}};
  copy_strides(args.out, rows.out_strides), copy_strides(args.grad_out, rows.grad_out_strides);
  copy_strides(args.grad_q, rows.grad_q_strides);

  const auto kernel = backward_options_kernel<Traits>;
  const auto error =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, Traits::kSharedBytes);
  if (error != cudaSuccess) return error;
  const bool packed = args.packing.sequences != nullptr;
  const auto heads = static_cast<unsigned>(s.num_heads), kv_heads = static_cast<unsigned>(s.num_kv_heads);
  const auto sequences = static_cast<unsigned>(packed ? args.packing.sequence_count : s.batch);
  const auto longest = packed ? args.packing.longest_query : s.seq_q;
  const auto blocks = static_cast<unsigned>((longest + Traits::kQueries - 1) / Traits::kQueries);
  const auto tiles = packed ? static_cast<unsigned>(args.packing.tile_count)
                            : static_cast<unsigned>((s.seq_k + Traits::kKeys - 1) / Traits::kKeys);
  constexpr unsigned kRowBlocks = Traits::kQueries * Traits::kHeadDim / 8 / 256;
  if (blocks > 0)
    prepare_backward<Traits><<<dim3(blocks * kRowBlocks, heads, sequences), 256, 0, stream>>>(p, rows);
  const dim3 grid =
      p.batches_together ? dim3(tiles, sequences, kv_heads) : dim3(tiles, kv_heads, packed ? 1 : sequences);
  if (tiles > 0) kernel<<<grid, Traits::kThreads, Traits::kSharedBytes, stream>>>(p);
  if (blocks > 0) finish_backward<Traits><<<dim3(blocks, heads, sequences), 256, 0, stream>>>(p, rows);
  return cudaGetLastError();
}

template <typename T>
cudaError_t launch_dim(const AttentionBackward& args, cudaStream_t stream) {
  switch (head_dim_of_kernel(args.shape)) {
    case 64:
      return launch<OptionTraits<64, 128, T>>(args, stream);
    case 128:
      return launch<OptionTraits<128, 64, T>>(args, stream);
    default:
      return launch<WideTraits<T>>(args, stream);
  }
}

}  // namespace

int attention_backward_queries(const AttentionShape& s) { return head_dim_of_kernel(s) == 64 ? 128 : 64; }
int attention_backward_rows(const AttentionShape& s) { return head_dim_of_kernel(s) == 256 ? 64 : 128; }

int64_t attention_backward_options_workspace(const AttentionBackward& args) {
  const Parts parts(args);
  return parts.statistics + parts.grad_q + parts.turns + parts.mask;
}

bool attention_backward_options_supports(const AttentionBackward& args) {
  const AttentionShape& s = args.shape;
  constexpr int64_t kMost = 65535;  // of a grid's second and third dimension
  return std::max(s.head_dim, s.value_dim) <= 256 && can_pack(args.options.mask, s) && s.num_heads <= kMost &&
         s.batch <= kMost && args.packing.sequence_count <= kMost &&
         s.seq_q + s.seq_k <= kMostPositions / 8 && can_map(query_tensor(args.q, s, s.head_dim)) &&
         can_map(key_tensor(args.k, s, s.head_dim)) && can_map(key_tensor(args.v, s, s.value_dim)) &&
         can_map(query_tensor(args.grad_out, s, s.value_dim)) && in_sixteen_bytes(args.out) &&
         in_sixteen_bytes(args.grad_out) && in_sixteen_bytes(args.grad_q) && in_sixteen_bytes(args.grad_k) &&
         in_sixteen_bytes(args.grad_v);
}

cudaError_t attention_backward_options(const AttentionBackward& args, cudaStream_t stream) {
  return args.type == HalfType::kBFloat16 ? launch_dim<__nv_bfloat16>(args, stream)
                                          : launch_dim<__half>(args, stream);
}

}  // namespace zeta::cuda
