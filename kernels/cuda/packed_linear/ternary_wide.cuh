// Ternary weights × many rows of int8 activations: ternary_tensor.cuh's unpacking, on wgmma.
#pragma once

#include "kernels/cuda/packed_linear/ternary_tensor.cuh"
#include "kernels/cuda/packed_linear/wide.cuh"

namespace zeta::cuda {

// p.q is arranged for tiles of kTokens. A warp has 8 packed rows: 16 output features in the first two
// quarters, 16 in the others, so that a warpgroup has two products of 64.
template <typename T, int kTokens>
__global__ void __launch_bounds__(kTokens <= 64 ? 512 : 256, 1)
    ternary_wide_kernel(TernaryProblem p, TileSums sums) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ __align__(1024) uint4 shared[];
  const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4, warp = threadIdx.x / 32,
            warps = blockDim.x / 32;
  const int packed_rows = 8 * warps, quarter = p.n / 4;
  const int steps = (p.k + kStep - 1) / kStep;
  const StepRange range = own_steps(steps);
  const int begin = range.begin, count = range.count;
  // The last block starts early rather than end beyond the last row, and computes some rows a second time.
  const int row0 = min(static_cast<int>(blockIdx.x) * packed_rows, quarter - packed_rows);
  const int token0 = blockIdx.y * kTokens;

  constexpr int kStepBytes = kTokens * kStep;
  uint4* const ring = shared + kWideStages * (kStepBytes / 16) + warp * ((2 * kRun) * 64) + lane;
  ActivationRing activations = {
      reinterpret_cast<uint8_t*>(shared),
      reinterpret_cast<ActivationRing::Barriers*>(shared + kWideStages * (kStepBytes / 16) +
                                                  warps * ((2 * kRun) * 64)),
      reinterpret_cast<const uint8_t*>(p.q) + (int64_t{blockIdx.y} * steps + begin) * kStepBytes, kStepBytes,
      count};

  const uint8_t* const weights = p.packed + int64_t{row0 + 8 * warp + g} * p.k + 16 * t;
  const auto fetch = [&](int first) {
#pragma unroll
    for (int i = first; i < first + kRun; ++i) {
      const int at = kStep * (begin + i);
      uint4* const to = ring + i % (2 * kRun) * 64;
      copy_16_async(to, weights + at, i < count && at + 16 * t < p.k);
      copy_16_async(to + 32, weights + at + 64, i < count && at + 64 + 16 * t < p.k);
    }
    commit_copies();
  };
  // The grid before arranged x, and had waited for all before it when it let this one start.
  fetch(0);
  fetch(kRun);
  activations.init(warps);
  wait_for_previous_grid();
  let_next_grid_start();
  activations.start();

  int acc[2][kTokens / 2] = {};
#pragma unroll 1
  for (int run = 0; run * kRun < count; ++run) {
    const uint4* const slot = ring + run % 2 * (kRun * 64);
    wait_for_copies<1>();
#pragma unroll
    for (int j = 0; j < kRun; ++j) {
      if (run * kRun + j >= count) break;
      uint32_t a[2][4][4];
#pragma unroll
      for (int slab = 0; slab < 4; ++slab) {
        const uint4 raw = slot[64 * j + slab / 2 * 32];
        const uint32_t first = word(raw, slab % 2 * 2), second = word(raw, slab % 2 * 2 + 1);
#pragma unroll
        for (int tile = 0; tile < 2; ++tile) {
          a[tile][slab][0] = quarter_codes(first, 2 * tile);
          a[tile][slab][1] = quarter_codes(first, 2 * tile + 1);
          a[tile][slab][2] = quarter_codes(second, 2 * tile);
          a[tile][slab][3] = quarter_codes(second, 2 * tile + 1);
        }
      }
      const uint64_t b = hopper::slab_descriptor(activations.wait(run, j));
      __syncwarp();
      hopper::wgmma_fence();
#pragma unroll
      for (int slab = 0; slab < 4; ++slab) {
#pragma unroll
        for (int tile = 0; tile < 2; ++tile)
          hopper::wgmma_int8(acc[tile], a[tile][slab], b + slab * (kTokens * 32 / 16), true);
      }
      hopper::wgmma_commit();
      hopper::wgmma_wait<0>();
      activations.leave(run, j);
    }
    fetch((run + 2) * kRun);
  }

  wait_for_copies<0>();
  __syncthreads();  // the rings become the partial sums
  int* const partial = reinterpret_cast<int*>(shared);
  const int rows = 4 * packed_rows, stride = rows + 4;
#pragma unroll
  for (int tile = 0; tile < 2; ++tile) {
#pragma unroll
    for (int j = 0; j < kTokens / 2; ++j)
      partial[(j / 4 * 8 + 2 * t + j % 2) * stride + (2 * tile + j / 2 % 2) * packed_rows + 8 * warp + g] =
          acc[tile][j];
  }
  const int tokens = min(kTokens, p.rows - token0);
  const float scale = read(p.scale, 0);
  sum_tile<kTokens>(partial, stride, rows, tokens, sums, [&](int row, int at, int4 sum) {
    const int token = token0 + at, out = row / packed_rows * quarter + row0 + row % packed_rows;
    const float x_scale = p.x_scale[token];
    const int codes = p.sum[token];  // they are stored plus one
    store_four(static_cast<T*>(p.y) + int64_t{token} * p.n + out,
               ternary_value(sum.x - codes, scale, x_scale, p.bias, out),
               ternary_value(sum.y - codes, scale, x_scale, p.bias, out + 1),
               ternary_value(sum.z - codes, scale, x_scale, p.bias, out + 2),
               ternary_value(sum.w - codes, scale, x_scale, p.bias, out + 3));
  });
#endif
}

template <typename T, int kTokens>
cudaError_t launch_ternary_wide(const TernaryProblem& p, const WideSplit& split, const TileSums& sums,
                                cudaStream_t stream) {
  const int warps = 4 * split.warpgroups;
  Launch how;
  how.grid = dim3(split.tiles, split.token_tiles, split.parts);
  how.block = dim3(32 * warps);
  const size_t rings = kWideStages * (kTokens * kStep) + warps * ((2 * kRun) * 1024) + 256;
  how.shared = std::max(rings, split.shared_sums(kTokens));
  how.overlap = true;
  return launch(how, stream, ternary_wide_kernel<T, kTokens>, p, sums);
}

}  // namespace zeta::cuda
