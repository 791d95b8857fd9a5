// Ternary weights × int8 activations on the tensor cores, at the speed of reading the weights; sums are
// exact.
//
// Built as int4_tensor.cuh is: the weights are the mma's a, and lane (g, t) takes the k that it loads with 16
// bytes as its part of each product. Four bytes of a packed row are four k of four output features a quarter
// of the matrix apart; shifted and masked they are a register of a for each of the four. So 8 packed rows
// fill two products of 16 output features: the first two quarters, then the last two.
#pragma once

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/memory.cuh"
#include "kernels/cuda/mma.cuh"
#include "kernels/cuda/packed_linear/quantize.cuh"
#include "kernels/cuda/packed_linear/split.cuh"
#include "kernels/cuda/read_values.cuh"

namespace zeta::cuda {

struct TernaryProblem {
  const void* x;         // read by the kernel that quantises itself; the other reads these three:
  const int8_t* q;       // (rows, k)
  const float* x_scale;  // (rows)
  const int32_t* sum;    // (rows)
  const uint8_t* packed;
  Values scale, bias;
  void* y;
  int rows, k, n;
};

constexpr int kTernaryStep = 64;  // of k, that a warp loads at once from each of 8 packed rows

__device__ inline uint32_t quarter_codes(uint32_t word, int quarter) {
  return (word >> (2 * quarter)) & 0x03030303;
}

// How a kernel is cut. A block has kPacked × 8 packed rows and kColumns × 8 rows of x; its warps, and those
// of its cluster, share k. Memory likes runs: a warp takes kUnroll steps of 64 bytes of a row at once, and
// has kStages such spans under way to shared memory, where each lane reads what it copied itself. kQuantize:
// there are at most 8 rows of x, which every block quantises for itself, as a launch more would take longer.
template <int kPacked_, int kUnroll_, int kColumns_, int kStages_, bool kQuantize_>
struct TernaryShape {
  static constexpr int kPacked = kPacked_, kUnroll = kUnroll_, kColumns = kColumns_, kStages = kStages_;
  static constexpr bool kQuantize = kQuantize_;
  static constexpr int kPackedRows = 8 * kPacked, kRows = 4 * kPackedRows, kTokens = 8 * kColumns;
  static constexpr int kSpan = kUnroll * kTernaryStep, kLoads = kPacked * kUnroll;
  // Bytes from one of the block's own quantised rows to the next; two rows of four lanes lie in different
  // banks.
  __host__ __device__ static constexpr int own_stride(int k) { return (k + kSpan - 1) / kSpan * kSpan + 64; }
};

template <typename T, typename Shape>
__global__ void __launch_bounds__(kMaxWarps * 32, Shape::kColumns == 1 ? 2 : 1)
    ternary_tensor_kernel(TernaryProblem p) {
  constexpr int kPacked = Shape::kPacked, kUnroll = Shape::kUnroll, kColumns = Shape::kColumns;
  constexpr int kStages = Shape::kStages, kLoads = Shape::kLoads, kSpan = Shape::kSpan;
  constexpr int kPackedRows = Shape::kPackedRows, kRows = Shape::kRows, kTokens = Shape::kTokens;
  constexpr int kStride = kRows + 4;
  constexpr bool kQuantize = Shape::kQuantize;
  extern __shared__ uint4 shared[];
  __shared__ QuantizeScratch<kQuantize ? 8 : 1> scratch;
  __shared__ float x_scale[kTokens];
  __shared__ int x_sum[kTokens];
  const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4, warp = threadIdx.x / 32,
            warps = blockDim.x / 32;
  const int cluster = blocks_of_cluster();
  const int slice = rank_in_cluster() * warps + warp, slices = cluster * warps;
  const int steps = (p.k + kSpan - 1) / kSpan, quarter = p.n / 4;
  // The last block starts early rather than end beyond the last row, and computes some rows a second time.
  const int row0 = min(static_cast<int>(blockIdx.x) / cluster * kPackedRows, quarter - kPackedRows);
  const int token0 = blockIdx.y * kTokens, tokens = min(kTokens, p.rows - token0);

  const uint8_t* const weights = p.packed + int64_t{row0 + g} * p.k + 16 * t;
  const auto inside = [&](int step, int u) { return kSpan * step + kTernaryStep * u + 16 * t < p.k; };
  uint4* const ring = shared + warp * (kStages * kLoads * 32) + lane;
  const auto fetch = [&](int stage, int step) {
    const uint8_t* const from = weights + int64_t{kSpan} * step;
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      const int u = i % kUnroll;
      copy_16_async(ring + (stage * kLoads + i) * 32,
                    from + i / kUnroll * (int64_t{8} * p.k) + kTernaryStep * u, inside(step, u));
    }
    commit_copies();
  };
  const auto fetch_all = [&] {
#pragma unroll
    for (int stage = 0; stage < kStages; ++stage) fetch(stage, slice + stage * slices);
  };

  int8_t* const own_q = reinterpret_cast<int8_t*>(shared + warps * (kStages * kLoads * 32));
  const int own_stride = Shape::own_stride(p.k);
  if constexpr (kQuantize) {
    // The grid before may have written the weights themselves, so that they may only be hinted at yet.
    if (t % 2 == 0) {
#pragma unroll
      for (int i = 0; i < kLoads; ++i) {
        if (inside(slice, i % kUnroll))
          prefetch_to_l2(weights + int64_t{kSpan} * slice + i / kUnroll * (int64_t{8} * p.k) +
                         kTernaryStep * (i % kUnroll));
      }
    }
    wait_for_previous_grid();
    let_next_grid_start();
    fetch_all();
    quantize_block<true>(static_cast<const T*>(p.x), p.rows, p.k, steps * kSpan, CodeRows{own_q, own_stride},
                         scratch);
    if (static_cast<int>(threadIdx.x) < tokens) {
      x_scale[threadIdx.x] = scratch.scale[threadIdx.x];
      x_sum[threadIdx.x] = scratch.sum(threadIdx.x);
    }
  } else {
    // The grid before quantised x, and had waited for all before it when it let this one start.
    fetch_all();
    wait_for_previous_grid();
    let_next_grid_start();
    if (static_cast<int>(threadIdx.x) < tokens) {
      x_scale[threadIdx.x] = p.x_scale[token0 + threadIdx.x];
      x_sum[threadIdx.x] = p.sum[token0 + threadIdx.x];
    }
  }
  const float scale = read(p.scale, 0);

  int acc[kPacked][2][kColumns][4] = {};
  int stage = 0;
#pragma unroll 1
  for (int step = slice; step < steps; step += slices) {
    uint4 x[kUnroll][kColumns];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const int at = kSpan * step + kTernaryStep * u + 16 * t;
#pragma unroll
      for (int c = 0; c < kColumns; ++c) {
        const int token = token0 + 8 * c + g;
        if constexpr (kQuantize) {
          x[u][c] = g < tokens ? *reinterpret_cast<const uint4*>(own_q + g * own_stride + at) : uint4{};
        } else {
          x[u][c] = load_16(p.q + int64_t{token} * p.k + at, token < p.rows && inside(step, u));
        }
      }
    }
    wait_for_copies<kStages - 1>();
    const uint4* const slot = ring + stage * (kLoads * 32);
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      const uint4 raw = slot[i * 32];
#pragma unroll
      for (int w = 0; w < 4; w += 2) {
#pragma unroll
        for (int tile = 0; tile < 2; ++tile) {
          const uint32_t a[4] = {
              quarter_codes(word(raw, w), 2 * tile), quarter_codes(word(raw, w), 2 * tile + 1),
              quarter_codes(word(raw, w + 1), 2 * tile), quarter_codes(word(raw, w + 1), 2 * tile + 1)};
#pragma unroll
          for (int c = 0; c < kColumns; ++c) {
            const uint4& b = x[i % kUnroll][c];
            mma_m16n8k32(acc[i / kUnroll][tile][c], a, word(b, w), word(b, w + 1));
          }
        }
      }
    }
    fetch(stage, step + kStages * slices);
    stage = stage + 1 == kStages ? 0 : stage + 1;
  }

  wait_for_copies<0>();
  __syncthreads();  // the ring becomes the partial sums
  int* const partial = reinterpret_cast<int*>(shared);
  int* const mine = partial + warp * kTokens * kStride;
#pragma unroll
  for (int r = 0; r < kPacked; ++r) {
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
#pragma unroll
      for (int j = 0; j < 8; ++j)  // quarter j / 2, column 2t + j % 2
        mine[(8 * c + 2 * t + j % 2) * kStride + j / 2 * kPackedRows + 8 * r + g] = acc[r][j / 4][c][j % 4];
    }
  }
  sum_slices(partial, blockDim.x / 32, tokens * kStride, kTokens * kStride, [&](int i, int total) {
    const int row = i % kStride, token = i / kStride;
    if (row >= kRows) return;
    const int out = row / kPackedRows * quarter + row0 + row % kPackedRows;
    static_cast<T*>(p.y)[int64_t{token0 + token} * p.n + out] = from_float<T>(ternary_value(
        total - x_sum[token], scale, x_scale[token], p.bias, out));  // codes are stored plus one
  });
}

template <typename T, typename Shape>
cudaError_t launch_ternary_tensor(const TernaryProblem& p, const Device& device, Split split,
                                  cudaStream_t stream) {
  Launch how;
  how.grid = dim3((p.n / 4 + Shape::kPackedRows - 1) / Shape::kPackedRows * split.cluster,
                  (p.rows + Shape::kTokens - 1) / Shape::kTokens);
  how.block = dim3(32 * split.warps);
  how.cluster = split.cluster;
  const size_t ring = split.warps * (Shape::kStages * Shape::kLoads * 512);
  const size_t own_q = Shape::kQuantize ? p.rows * Shape::own_stride(p.k) : 0;
  how.shared = std::max<size_t>(ring + own_q, 4 * split.warps * Shape::kTokens * (Shape::kRows + 4));
  how.overlap = device.hopper;
  return launch(how, stream, ternary_tensor_kernel<T, Shape>, p);
}

}  // namespace zeta::cuda
