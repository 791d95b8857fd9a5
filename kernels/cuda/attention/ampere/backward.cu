#include "kernels/cuda/attention/ampere/backward.cuh"

#include <algorithm>

#include "kernels/cuda/attention/ampere/backward_rows.cuh"
#include "kernels/cuda/attention/ampere/launch.cuh"

namespace zeta::cuda {
namespace {

using namespace ampere;

constexpr int64_t kQueries = 64;  // a block's

// Tiles for GPUs with 227, 163 or 99 KiB of shared memory a block.
template <typename T>
using Dim64 = BackwardTraits<64, 4, 2, 32, 2, 2, T>;
template <typename T>
using Dim128 = BackwardTraits<128, 4, 1, 32, 2, 1, T>;
template <typename T>
using Dim128Small = BackwardTraits<128, 2, 1, 32, 1, 1, T>;
template <typename T>
using Dim256 = BackwardTraits<256, 2, 1, 16, 2, 1, T>;
template <typename T>
using Dim256Small = BackwardTraits<256, 2, 1, 16, 1, 1, T>;

int64_t dim_of_kernel(const AttentionShape& s) {
  const int64_t dim = std::max(s.head_dim, s.value_dim);
  return dim <= 64 ? 64 : dim <= 128 ? 128 : 256;
}
int64_t query_blocks(const AttentionShape& s) { return (s.seq_q + kQueries - 1) / kQueries; }
int64_t statistics_floats(const AttentionShape& s) {
  return s.batch * s.num_heads * query_blocks(s) * 2 * kQueries;
}

template <class Traits>
cudaError_t launch_tiles(const AttentionBackward& args, const AttentionWindow& window, cudaStream_t stream) {
  static_assert(Traits::kQueries == kQueries);
  const AttentionShape& s = args.shape;
  BackwardParams p;
  p.q = args.q, p.k = args.k, p.v = args.v, p.out = args.out, p.grad_out = args.grad_out;
  p.grad_q = args.grad_q, p.grad_k = args.grad_k, p.grad_v = args.grad_v;
  p.band = band_of(s, window, args.causal);
  p.num_heads = static_cast<int>(s.num_heads), p.group = static_cast<int>(s.num_heads / s.num_kv_heads);
  p.head_dim = static_cast<int>(s.head_dim), p.value_dim = static_cast<int>(s.value_dim);
  p.query_blocks = static_cast<int>(query_blocks(s));
  p.scale = args.softmax_scale, p.lse = args.lse;
  p.statistics = static_cast<float*>(args.workspace);
  p.sums = p.statistics + statistics_floats(s);

  const auto heads = static_cast<unsigned>(s.num_heads), kv_heads = static_cast<unsigned>(s.num_kv_heads),
             batch = static_cast<unsigned>(s.batch), blocks = static_cast<unsigned>(p.query_blocks),
             key_blocks = static_cast<unsigned>((s.seq_k + Traits::kKeys - 1) / Traits::kKeys);
  Launch prepare = {}, work = {}, finish = {};
  prepare.grid = dim3(blocks * (Traits::kQueries * Traits::kDim / 8 / 256), heads, batch);
  prepare.block = dim3(256);
  work.grid = dim3(key_blocks, kv_heads, batch), work.block = dim3(Traits::kThreads);
  work.shared = sizeof(typename Traits::Shared);
  finish.grid = dim3(blocks, heads, batch), finish.block = dim3(Traits::kThreads);
  if (const auto error = launch(prepare, stream, ampere_prepare_backward<Traits>, p)) return error;
  if (const auto error = launch(work, stream, ampere_backward_kernel<Traits>, p)) return error;
  return launch(finish, stream, ampere_finish_backward<Traits>, p);
}

template <typename T>
cudaError_t launch_dim(const AttentionBackward& args, const AttentionWindow& window, cudaStream_t stream) {
  const int64_t dim = dim_of_kernel(args.shape);
  if (dim == 64) return launch_tiles<Dim64<T>>(args, window, stream);
  Device device;
  if (const auto error = current_device(device)) return error;
  if (dim == 256)
    return fits<Dim256<T>>(device) ? launch_tiles<Dim256<T>>(args, window, stream)
                                   : launch_tiles<Dim256Small<T>>(args, window, stream);
  if (fits<Dim128<T>>(device)) return launch_tiles<Dim128<T>>(args, window, stream);
  return launch_tiles<Dim128Small<T>>(args, window, stream);
}

}  // namespace

int64_t attention_backward_sm80_workspace(const AttentionShape& s) {
  return 4 * (statistics_floats(s) + s.batch * s.num_heads * query_blocks(s) * kQueries * dim_of_kernel(s));
}

bool attention_backward_sm80_supports(const AttentionBackward& args) {
  const AttentionShape& s = args.shape;
  if (!in_reach(s) || args.softmax_scale <= 0) return false;
  for (const AttentionTensor* t :
       {&args.q, &args.k, &args.v, &args.out, &args.grad_out, &args.grad_q, &args.grad_k, &args.grad_v})
    if (!in_pieces(*t)) return false;
  Device device;
  return dim_of_kernel(s) < 256 ||
         (current_device(device) == cudaSuccess && fits<Dim256Small<__half>>(device));
}

cudaError_t attention_backward_sm80(const AttentionBackward& args, const AttentionWindow& window,
                                    cudaStream_t stream) {
  if (args.type == HalfType::kBFloat16) return launch_dim<__nv_bfloat16>(args, window, stream);
  return launch_dim<__half>(args, window, stream);
}

}  // namespace zeta::cuda
