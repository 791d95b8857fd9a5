// 4-bit weights × many rows of 16-bit activations: int4_tensor.cuh's unpacking and scaling, on wgmma.
#pragma once

#include "kernels/cuda/packed_linear/int4_tensor.cuh"
#include "kernels/cuda/packed_linear/wide.cuh"

namespace zeta::cuda {

constexpr int wide_threads(int tokens) { return tokens <= 64 ? 512 : 256; }

// p.x is arranged for tiles of kTokens; groups are multiples of 128.
template <typename T, typename S, int kTokens>
__global__ void __launch_bounds__(wide_threads(kTokens), 1) int4_wide_kernel(Int4Problem p, TileSums sums) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ __align__(1024) uint4 shared[];
  const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4, warp = threadIdx.x / 32,
            warps = blockDim.x / 32;
  const int rows = 16 * warps;
  const int steps = (p.k + kStep - 1) / kStep;
  const StepRange range = own_steps(steps);
  const int begin = range.begin, count = range.count;
  // The last block starts early rather than end beyond the last row, and computes some rows a second time.
  const int row0 = min(static_cast<int>(blockIdx.x) * rows, p.n - rows);
  const int token0 = blockIdx.y * kTokens;

  constexpr int kStepBytes = kTokens * kStep * 2;
  constexpr int kRunLoads =
      kRun * 64 + 16 * kRun / 4;  // 16 bytes: weights of a warp's 16 rows, then their scales
  uint4* const ring = shared + kWideStages * (kStepBytes / 16) + warp * (2 * kRunLoads);
  ActivationRing activations = {
      reinterpret_cast<uint8_t*>(shared),
      reinterpret_cast<ActivationRing::Barriers*>(shared + kWideStages * (kStepBytes / 16) +
                                                  warps * (2 * kRunLoads)),
      static_cast<const uint8_t*>(p.x) + (int64_t{blockIdx.y} * steps + begin) * kStepBytes, kStepBytes,
      count};

  const uint32_t row_bytes = p.k / 2;
  const int row = row0 + 16 * warp + g;
  const uint8_t* const weights = p.packed + int64_t{row} * row_bytes + 16 * t;
  const uint32_t groups = p.k / p.group_size;
  const GroupScales<S> scales = {static_cast<const S*>(p.scale) + int64_t{row0 + 16 * warp} * groups, groups,
                                 p.per_group};
  const auto fetch = [&](int first) {
    uint4* const to = ring + first / kRun % 2 * kRunLoads;
#pragma unroll
    for (int i = 0; i < kRun; ++i) {
      const int at = kStep * (begin + first + i);
      const bool wanted = first + i < count && at + 32 * t < p.k;
      copy_16_async(to + 64 * i + lane, weights + at / 2, wanted);
      copy_16_async(to + 64 * i + 32 + lane, weights + at / 2 + int64_t{8} * row_bytes, wanted);
    }
    scales.template copy<16, kRun>(reinterpret_cast<uint32_t*>(to + kRun * 64), begin + first, steps, lane);
    commit_copies();
  };
  // The grid before arranged x, and had waited for all before it when it let this one start.
  fetch(0);
  fetch(kRun);
  activations.init(warps);
  wait_for_previous_grid();
  let_next_grid_start();
  activations.start();

  float acc[kTokens / 2], total[kTokens / 2] = {};
#pragma unroll 1
  for (int run = 0; run * kRun < count; ++run) {
    const uint4* const slot = ring + run % 2 * kRunLoads;
    wait_for_copies<1>();
#pragma unroll
    for (int j = 0; j < kRun; ++j) {
      if (run * kRun + j >= count) break;
      const uint4 upper = slot[64 * j + lane], lower = slot[64 * j + 32 + lane];
      uint32_t a[8][4];
#pragma unroll
      for (int slab = 0; slab < 8; ++slab) {
        const int w = slab / 2, i = slab % 2 * 2;
        a[slab][0] = code_pair<T>(word(upper, w), i);
        a[slab][1] = code_pair<T>(word(lower, w), i);
        a[slab][2] = code_pair<T>(word(upper, w), i + 1);
        a[slab][3] = code_pair<T>(word(lower, w), i + 1);
      }
      const uint64_t b = hopper::slab_descriptor(activations.wait(run, j));
      __syncwarp();
      hopper::wgmma_fence();
#pragma unroll
      for (int slab = 0; slab < 8; ++slab)
        hopper::wgmma<T>(acc, a[slab], b + slab * (kTokens * 32 / 16), slab > 0);
      hopper::wgmma_commit();
      hopper::wgmma_wait<0>();
      activations.leave(run, j);
      const uint32_t* const words = reinterpret_cast<const uint32_t*>(slot + kRun * 64) + j;
      const int step = begin + run * kRun + j;
      const float upper_scale = scales.value(words[g * kRun], g, step);
      const float lower_scale = scales.value(words[(g + 8) * kRun], g + 8, step);
#pragma unroll
      for (int i = 0; i < kTokens / 2; ++i)
        total[i] = fmaf(acc[i], i / 2 % 2 == 0 ? upper_scale : lower_scale, total[i]);
    }
    __syncwarp();  // other lanes read the scales that this one copied
    fetch((run + 2) * kRun);
  }

  wait_for_copies<0>();
  __syncthreads();  // the rings become the partial sums
  float* const partial = reinterpret_cast<float*>(shared);
  const int stride = rows + 4;
#pragma unroll
  for (int j = 0; j < kTokens / 2; ++j)
    partial[(j / 4 * 8 + 2 * t + j % 2) * stride + 16 * warp + j / 2 % 2 * 8 + g] = total[j];
  const int tokens = min(kTokens, p.rows - token0);
  sum_tile<kTokens>(partial, stride, rows, tokens, sums, [&](int out, int token, float4 sum) {
    const int at = row0 + out;
    if (p.bias.data) {
      sum.x += read(p.bias, at);
      sum.y += read(p.bias, at + 1);
      sum.z += read(p.bias, at + 2);
      sum.w += read(p.bias, at + 3);
    }
    store_four(static_cast<T*>(p.y) + int64_t{token0 + token} * p.n + at, sum.x, sum.y, sum.z, sum.w);
  });
#endif
}

template <typename T, typename S, int kTokens>
cudaError_t launch_int4_wide(const Int4Problem& p, const WideSplit& split, const TileSums& sums,
                             cudaStream_t stream) {
  const int warps = 4 * split.warpgroups;
  Launch how;
  how.grid = dim3(split.tiles, split.token_tiles, split.parts);
  how.block = dim3(32 * warps);
  const size_t rings = kWideStages * (kTokens * kStep * 2) + warps * (2 * kRun * (1024 + 64)) + 256;
  how.shared = std::max(rings, split.shared_sums(kTokens));
  how.overlap = true;
  return launch(how, stream, int4_wide_kernel<T, S, kTokens>, p, sums);
}

}  // namespace zeta::cuda
