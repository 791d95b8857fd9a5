#include "kernels/cuda/attention/ampere/forward.cuh"

#include <algorithm>

#include "kernels/cuda/attention/ampere/launch.cuh"

namespace zeta::cuda {
namespace {

using namespace ampere;

constexpr int kRowBlocksTogether = 4;  // measured on an H200 at 16k: 16 is as fast, 32 and all are slower

template <class Traits>
cudaError_t launch_tiles(const AttentionForward& args, const AttentionWindow& window, cudaStream_t stream) {
  const AttentionShape& s = args.shape;
  ForwardParams p;
  p.q = args.q, p.k = args.k, p.v = args.v, p.out = args.out;
  p.band = band_of(s, window, args.causal);
  const auto row_blocks = static_cast<int>((s.seq_q + Traits::kRows - 1) / Traits::kRows);
  p.schedule = {row_blocks, static_cast<int>(s.num_heads), static_cast<int>(s.batch * s.num_heads),
                args.causal ? kRowBlocksTogether : 0};
  p.num_heads = static_cast<int>(s.num_heads), p.group = static_cast<int>(s.num_heads / s.num_kv_heads);
  p.head_dim = static_cast<int>(s.head_dim), p.value_dim = static_cast<int>(s.value_dim);
  p.scale = args.softmax_scale, p.lse = args.lse;
  Launch how = {};
  how.grid = dim3(static_cast<unsigned>(p.schedule.tiles())), how.block = dim3(Traits::kThreads);
  how.shared = sizeof(typename Traits::Shared);
  return launch(how, stream, ampere_forward_kernel<Traits>, p);
}

template <typename T>
cudaError_t launch_dim(const AttentionForward& args, const AttentionWindow& window, cudaStream_t stream) {
  const int64_t dim = std::max(args.shape.head_dim, args.shape.value_dim);
  if (dim <= 64) return launch_tiles<ForwardTraits<64, 2, 4, 64, 2, true, T>>(args, window, stream);
  if (dim <= 128) return launch_tiles<ForwardTraits<128, 2, 4, 48, 2, false, T>>(args, window, stream);
  // For 227, 163 and 99 KiB of shared memory.
  using Large = ForwardTraits<256, 1, 8, 64, 1, false, T>;
  using Middle = ForwardTraits<256, 1, 8, 48, 1, false, T>;
  using Small = ForwardTraits<256, 1, 4, 32, 1, false, T>;
  Device device;
  if (const auto error = current_device(device)) return error;
  if (fits<Large>(device)) return launch_tiles<Large>(args, window, stream);
  if (fits<Middle>(device)) return launch_tiles<Middle>(args, window, stream);
  return launch_tiles<Small>(args, window, stream);
}

}  // namespace

bool attention_forward_sm80_supports(const AttentionForward& args) {
  const AttentionShape& s = args.shape;
  return in_reach(s) && args.softmax_scale > 0 && in_pieces(args.q) && in_pieces(args.k) &&
         in_pieces(args.v) && in_pieces(args.out);
}

cudaError_t attention_forward_sm80(const AttentionForward& args, const AttentionWindow& window,
                                   cudaStream_t stream) {
  if (args.shape.batch * args.shape.num_heads * args.shape.seq_q == 0) return cudaSuccess;
  if (args.type == HalfType::kBFloat16) return launch_dim<__nv_bfloat16>(args, window, stream);
  return launch_dim<__half>(args, window, stream);
}

}  // namespace zeta::cuda
