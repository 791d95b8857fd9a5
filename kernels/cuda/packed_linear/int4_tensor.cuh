// 4-bit weights × 16-bit activations on the tensor cores, at the speed of reading the weights.
//
// The weights are the mma's a (16 output features) and the activations its b (8 columns), so that a single
// row of x costs no more than 8 do. Sums over k may be taken in any order, so lane (g, t) takes the 32
// weights that it loads with 16 bytes, k = 32t … 32t + 31 of a step of 128, as its part of a in 8 products
// one after another, and the same k of x as its part of b. Codes become 16-bit floats exactly; a step's
// products are summed in fp32 and multiplied by their group's scale in fp32.
//
// A group smaller than a step takes columns of its own: column c stands for row c / kParts of x, of which
// only part c % kParts of the step is not zero.
#pragma once

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/memory.cuh"
#include "kernels/cuda/packed_linear/arrange.cuh"
#include "kernels/cuda/packed_linear/int4_codes.cuh"
#include "kernels/cuda/packed_linear/int4_scales.cuh"
#include "kernels/cuda/packed_linear/split.cuh"
#include "kernels/cuda/read_values.cuh"

namespace zeta::cuda {

struct Int4Problem {
  const void* x;
  const uint8_t* packed;
  const void* scale;
  Values bias;
  void* y;
  int rows, k, n, group_size;
  uint32_t per_group;  // reciprocal of the number of parts that share a scale
};

// How a kernel is cut. A block has kTiles × 16 output features and kColumns × 8 columns; its warps, and those
// of its cluster, share k. Memory likes runs: a warp takes kUnroll steps of 64 bytes of a row at once, and
// has kStages such spans under way to shared memory, where each lane reads what it copied itself. kOne: x has
// one row, which comes the same way, as it then weighs little.
template <int kTiles_, int kColumns_, int kParts_, int kUnroll_, int kStages_, bool kOne_ = false>
struct Int4Shape {
  static constexpr int kTiles = kTiles_, kColumns = kColumns_, kParts = kParts_, kUnroll = kUnroll_,
                       kStages = kStages_;
  static constexpr bool kOne = kOne_;
  static constexpr int kRows = 16 * kTiles, kTokens = 8 * kColumns / kParts, kSpan = kStep * kUnroll;
  static constexpr int kLoads = 2 * kTiles * kUnroll;           // of 16 bytes a lane, for a span
  static constexpr int kActivations = kOne ? kUnroll * 16 : 0;  // 16 bytes of x, for a span
  static constexpr int kCount = kUnroll * kParts;               // scales of a row, for a span
  static constexpr int kStage = kLoads * 32 + kActivations + kRows * kCount / 4;  // 16 bytes, of a warp
  static constexpr int kRing = kStages * kStage;
};

template <typename T, typename S, typename Shape>
__global__ void __launch_bounds__(kMaxWarps * 32, Shape::kOne ? 2 : 1) int4_tensor_kernel(Int4Problem p) {
  constexpr int kTiles = Shape::kTiles, kColumns = Shape::kColumns, kParts = Shape::kParts;
  constexpr int kUnroll = Shape::kUnroll, kStages = Shape::kStages, kLoads = Shape::kLoads;
  constexpr int kRows = Shape::kRows, kTokens = Shape::kTokens, kStride = kRows + 4, kSpan = Shape::kSpan;
  constexpr int kScales = kParts == 1 ? 1 : 2;  // columns 2t and 2t + 1 have one scale or two
  extern __shared__ uint4 shared[];
  const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4, warp = threadIdx.x / 32;
  const int cluster = blocks_of_cluster();
  const int slice = rank_in_cluster() * (blockDim.x / 32) + warp, slices = cluster * (blockDim.x / 32);
  const int spans = (p.k + kSpan - 1) / kSpan;
  // The last block starts early rather than end beyond the last row, and computes some rows a second time.
  const int row0 = min(static_cast<int>(blockIdx.x) / cluster * kRows, p.n - kRows);
  const int token0 = blockIdx.y * kTokens;

  const uint32_t row_bytes = p.k / 2;
  const uint8_t* const weights = p.packed + int64_t{row0 + g} * row_bytes + 16 * t;
  const auto inside = [&](int span, int u) { return kSpan * span + kStep * u + 32 * t < p.k; };
  if (t % 2 == 0) {
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      if (inside(slice, i % kUnroll))
        prefetch_to_l2(weights + uint64_t{kSpan / 2} * slice + i / kUnroll * (uint64_t{8} * row_bytes) +
                       i % kUnroll * (kStep / 2));
    }
  }
  wait_for_previous_grid();
  let_next_grid_start();

  const uint32_t groups = p.k / p.group_size, parts = (p.k * kParts + kStep - 1) / kStep;
  const GroupScales<S> scales = {static_cast<const S*>(p.scale) + int64_t{row0} * groups, groups,
                                 p.per_group};
  uint4* const ring = shared + warp * Shape::kRing;
  const auto fetch = [&](int stage, int span) {
    uint4* const to = ring + stage * Shape::kStage;
    const uint8_t* const from = weights + uint64_t{kSpan / 2} * span;
#pragma unroll
    for (int i = 0; i < kLoads; ++i)
      copy_16_async(to + i * 32 + lane,
                    from + i / kUnroll * (uint64_t{8} * row_bytes) + i % kUnroll * (kStep / 2),
                    inside(span, i % kUnroll));
    if constexpr (Shape::kOne) {
#pragma unroll
      for (int i = lane; i < kUnroll * 16; i += 32)
        copy_16_async(to + kLoads * 32 + i, static_cast<const T*>(p.x) + int64_t{kSpan} * span + 8 * i,
                      kSpan * span + 8 * i < p.k);
    }
    scales.template copy<kRows, Shape::kCount>(
        reinterpret_cast<uint32_t*>(to + kLoads * 32 + Shape::kActivations), span * Shape::kCount, parts,
        lane);
    commit_copies();
  };
#pragma unroll
  for (int stage = 0; stage < kStages; ++stage) fetch(stage, slice + stage * slices);

  uint4 x[kColumns][4];
  const auto load_x = [&](int span, int u) {
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      const int token = token0 + (8 * c + g) / kParts;
      const bool used = token < p.rows && inside(span, u) && t / (4 / kParts) == g % kParts;
      const T* const row =
          static_cast<const T*>(p.x) + int64_t{token} * p.k + kSpan * span + kStep * u + 32 * t;
#pragma unroll
      for (int w = 0; w < 4; ++w) x[c][w] = load_16(row + 8 * w, used);
    }
  };
  if constexpr (!Shape::kOne) load_x(slice, 0);

  float total[kTiles][kColumns][4] = {};
  int stage = 0;
#pragma unroll 1
  for (int span = slice; span < spans; span += slices) {
    wait_for_copies<kStages - 1>();
    __syncwarp();  // scales, and x if it came this way, were copied by other lanes
    const uint4* const slot = ring + stage * Shape::kStage;
    const uint32_t* const words = reinterpret_cast<const uint32_t*>(slot + kLoads * 32 + Shape::kActivations);
#pragma unroll 1
    for (int u = 0; u < kUnroll; ++u) {
      uint4 b[kColumns][4];
#pragma unroll
      for (int c = 0; c < kColumns; ++c) {
#pragma unroll
        for (int w = 0; w < 4; ++w) {
          if constexpr (Shape::kOne) {
            b[c][w] = g == 0 ? pair_values(slot[kLoads * 32 + u * 16 + t * 4 + w]) : uint4{};
          } else {
            b[c][w] = pair_values(x[c][w]);
          }
        }
      }
      if constexpr (!Shape::kOne) load_x(u + 1 < kUnroll ? span : span + slices, u + 1 < kUnroll ? u + 1 : 0);
#pragma unroll
      for (int tile = 0; tile < kTiles; ++tile) {
        const uint4 upper = slot[(2 * tile * kUnroll + u) * 32 + lane];
        const uint4 lower = slot[((2 * tile + 1) * kUnroll + u) * 32 + lane];
        float acc[kColumns][4] = {};
#pragma unroll
        for (int w = 0; w < 4; ++w) {
#pragma unroll
          for (int i = 0; i < 4; i += 2) {
            const uint32_t a[4] = {code_pair<T>(word(upper, w), i), code_pair<T>(word(lower, w), i),
                                   code_pair<T>(word(upper, w), i + 1), code_pair<T>(word(lower, w), i + 1)};
#pragma unroll
            for (int c = 0; c < kColumns; ++c)
              mma_m16n8k16<T>(acc[c], a, word(b[c][w], i), word(b[c][w], i + 1));
          }
        }
        float scale[2][kScales];
#pragma unroll
        for (int i = 0; i < 2 * kScales; ++i) {
          const int row = 16 * tile + 8 * (i / kScales) + g,
                    part = u * kParts + (2 * t + i % kScales) % kParts;
          scale[i / kScales][i % kScales] =
              scales.value(words[row * Shape::kCount + part], row, span * Shape::kCount + part);
        }
#pragma unroll
        for (int c = 0; c < kColumns; ++c) {
#pragma unroll
          for (int j = 0; j < 4; ++j)
            total[tile][c][j] = fmaf(acc[c][j], scale[j / 2][j % kScales], total[tile][c][j]);
        }
      }
    }
    __syncwarp();
    fetch(stage, span + kStages * slices);
    stage = stage + 1 == kStages ? 0 : stage + 1;
  }

  wait_for_copies<0>();
  __syncthreads();  // the ring becomes the partial sums
  float* const partial = reinterpret_cast<float*>(shared);
  float* const mine = partial + warp * kTokens * kStride;
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int row = 16 * tile + 8 * half + g;
        const float even = total[tile][c][2 * half], odd = total[tile][c][2 * half + 1];
        if constexpr (kParts == 1) {
          mine[(8 * c + 2 * t) * kStride + row] = even;
          mine[(8 * c + 2 * t + 1) * kStride + row] = odd;
        } else {
          float sum = even + odd;
          if constexpr (kParts == 4) sum += __shfl_xor_sync(~0u, sum, 1);
          mine[(8 * c + 2 * t) / kParts * kStride + row] = sum;
        }
      }
    }
  }
  const int tokens = min(kTokens, p.rows - token0);
  sum_slices(partial, blockDim.x / 32, tokens * kStride, kTokens * kStride, [&](int i, float sum) {
    const int row = i % kStride, token = i / kStride;
    if (row >= kRows) return;
    if (p.bias.data) sum += read(p.bias, row0 + row);
    static_cast<T*>(p.y)[int64_t{token0 + token} * p.n + row0 + row] = from_float<T>(sum);
  });
}

template <typename T, typename S, typename Shape>
cudaError_t launch_int4_tensor(const Int4Problem& p, const Device& device, Split split, cudaStream_t stream) {
  Launch how;
  how.grid = dim3((p.n + Shape::kRows - 1) / Shape::kRows * split.cluster,
                  (p.rows + Shape::kTokens - 1) / Shape::kTokens);
  how.block = dim3(32 * split.warps);
  how.cluster = split.cluster;
  how.shared = split.warps * std::max<size_t>(16 * Shape::kRing, 4 * Shape::kTokens * (Shape::kRows + 4));
  how.overlap = device.hopper;
  return launch(how, stream, int4_tensor_kernel<T, S, Shape>, p);
}

}  // namespace zeta::cuda
