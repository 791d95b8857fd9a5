// What the wide kernels share: arranged activations come to shared memory by bulk copies, a ring of steps.
//
// With many rows of x the weights are read once for kTokens of them, and the arithmetic weighs as much as the
// memory: products run on wgmma. A block is 1 to 4 warpgroups; each unpacks weights of its own in registers,
// as the narrow kernels do, and all share the activations. Where tiles are fewer than multiprocessors,
// several blocks share a tile's k and the last of them to finish adds up. (Clusters of 4
// would add up faster, but 32 of them, for 128 of an H100's 132 multiprocessors, ran as two waves.)
#pragma once

#include <type_traits>

#include "kernels/cuda/hopper/tma.cuh"
#include "kernels/cuda/hopper/wgmma.cuh"
#include "kernels/cuda/numbers.cuh"
#include "kernels/cuda/packed_linear/arrange.cuh"
#include "kernels/cuda/packed_linear/split.cuh"

namespace zeta::cuda {

constexpr int kRun = 4;            // steps of weights that a warp asks for at once: memory likes runs
constexpr int kWideStages = kRun;  // steps of x under way or in use

// Where the blocks of a tile add up.
struct TileSums {
  int* finished;  // of each tile, how many blocks have; 0 at first
  void* partial;  // the sums of each block
};

// How the wide kernels cut n and k.
struct WideSplit {
  int warpgroups;  // of a block
  int tiles;       // of blocks along n
  int parts;       // blocks that share a tile
  int rows;        // output features of a block
  int token_tiles;
  size_t counter_bytes() const { return (int64_t{4} * tiles * token_tiles + 127) / 128 * 128; }
  size_t partial_bytes(int tokens) const {
    return parts == 1 ? 0 : size_t{4} * tiles * token_tiles * parts * tokens * rows;
  }
  size_t shared_sums(int tokens) const { return size_t{4} * tokens * (rows + 4); }
};

// Blocks as tall as still leave no multiprocessor idle, as all of a block's warpgroups share the activations
// that it reads. A warpgroup has `unit` output features.
inline WideSplit split_wide(int n, int unit, int most_warpgroups, int64_t rows, int tokens, int steps,
                            int multiprocessors) {
  constexpr int kMostParts = 4;  // adding up more takes longer than they save
  WideSplit split;
  split.token_tiles = static_cast<int>((rows + tokens - 1) / tokens);
  const auto tiles = [&](int warpgroups) { return (n + unit * warpgroups - 1) / (unit * warpgroups); };
  split.warpgroups = std::min(most_warpgroups, n / unit);
  while (split.warpgroups > 1 &&
         int64_t{tiles(split.warpgroups)} * split.token_tiles * kMostParts < multiprocessors * 3 / 4)
    --split.warpgroups;
  split.tiles = tiles(split.warpgroups);
  const int64_t room = multiprocessors / (int64_t{split.tiles} * split.token_tiles);
  split.parts = static_cast<int>(std::clamp<int64_t>(room, 1, std::min(2 * kMostParts, steps)));
  split.rows = unit * split.warpgroups;
  return split;
}

// Rows of x in a tile.
inline int wide_tokens(int64_t rows) { return rows <= 32 ? 32 : rows <= 64 ? 64 : 128; }

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

// A block's share of a tile: blockIdx.x is the tile, blockIdx.z one of gridDim.z parts of its steps.
struct StepRange {
  int begin, count;
};
__device__ inline StepRange own_steps(int steps) {
  const int each = (steps + gridDim.z - 1) / gridDim.z, begin = each * blockIdx.z;
  return {begin, max(0, min(each, steps - begin))};
}

// Calls store(row, token, sums of four rows) for a tile's sums, rows a multiple of 4, in the last of the
// tile's blocks to finish. `own` (kTokens, stride), in shared memory, is this block's part. By all threads,
// of which there are a multiple of rows / 4.
template <int kTokens, typename V, typename Store>
__device__ void sum_tile(const V* own, int stride, int rows, int tokens, const TileSums& sums, Store store) {
  constexpr int kAtOnce = 4;  // tokens that a thread has under way
  using Four = std::conditional_t<std::is_same_v<V, float>, float4, int4>;
  const int row = threadIdx.x % (rows / 4) * 4, first = threadIdx.x / (rows / 4),
            step = blockDim.x / (rows / 4);
  __syncthreads();
  if (gridDim.z == 1) {
#pragma unroll 4
    for (int token = first; token < tokens; token += step)
      store(row, token, *reinterpret_cast<const Four*>(own + token * stride + row));
    return;
  }
  const int64_t tile = int64_t{blockIdx.y} * gridDim.x + blockIdx.x;
  const int parts = gridDim.z, part_size = kTokens * rows;
  V* const all = static_cast<V*>(sums.partial) + tile * parts * part_size;
#pragma unroll 4
  for (int token = first; token < tokens; token += step)
    __stcg(reinterpret_cast<Four*>(all + blockIdx.z * part_size + token * rows + row),
           *reinterpret_cast<const Four*>(own + token * stride + row));
  __shared__ bool last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) last = atomicAdd(sums.finished + tile, 1) == parts - 1;
  __syncthreads();
  if (!last) return;
  __threadfence();
  for (int from = first; from < tokens; from += kAtOnce * step) {
    Four sum[kAtOnce] = {};
    for (int part = 0; part < parts; ++part) {
      Four four[kAtOnce];
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        const int token = min(from + i * step, tokens - 1);
        four[i] = __ldcg(reinterpret_cast<const Four*>(all + part * part_size + token * rows + row));
      }
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        sum[i].x += four[i].x;
        sum[i].y += four[i].y;
        sum[i].z += four[i].z;
        sum[i].w += four[i].w;
      }
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i)
      if (from + i * step < tokens) store(row, from + i * step, sum[i]);
  }
}

// Four values of y that lie together, if they lie at a multiple of 4.
template <typename T>
__device__ void store_four(T* y, float a, float b, float c, float d) {
  struct alignas(4 * sizeof(T)) {
    T values[4];
  } four = {{from_float<T>(a), from_float<T>(b), from_float<T>(c), from_float<T>(d)}};
  if (reinterpret_cast<uintptr_t>(y) % sizeof(four) == 0) {
    *reinterpret_cast<decltype(four)*>(y) = four;
  } else {
    for (int i = 0; i < 4; ++i) y[i] = four.values[i];
  }
}

struct ActivationRing {
  struct Barriers {
    hopper::Barrier full[kWideStages], empty[kWideStages];
  };
  uint8_t* buffers;  // kWideStages × bytes
  Barriers* barriers;
  const uint8_t* from;  // the first of this block's steps
  int bytes, count;     // of a step; of steps

  // By every thread, before the first wait; ends with a barrier of the block.
  __device__ void init(int warps) {
    if (threadIdx.x == 0) {
      for (int i = 0; i < kWideStages; ++i) {
        barriers->full[i].init(1);
        barriers->empty[i].init(warps);
      }
      hopper::publish_barriers();
    }
    __syncthreads();
  }
  __device__ void start() {
    if (threadIdx.x != 0) return;
    for (int i = 0; i < min(kWideStages, count); ++i) {
      barriers->full[i].arrive_expecting(bytes);
      hopper::load_bytes(buffers + i * bytes, from + int64_t{i} * bytes, bytes, barriers->full[i]);
    }
  }
  // Step i = kRun · run + j, j known to the compiler.
  __device__ const uint8_t* wait(int run, int j) {
    barriers->full[j].wait(run % 2);
    return buffers + j * bytes;
  }
  // By every warp, once its products of the step are done. One thread then refills the buffer of the step
  // before, which the other warps have most likely left by now.
  __device__ void leave(int run, int j) {
    const int before = (j + kWideStages - 1) % kWideStages, i = kRun * run + j;
    __syncwarp();
    if (threadIdx.x % 32 == 0) barriers->empty[j].arrive();
    if (threadIdx.x == 0 && i > 0 && i - 1 + kWideStages < count) {
      barriers->empty[before].wait((j == 0 ? run - 1 : run) % 2);
      barriers->full[before].arrive_expecting(bytes);
      hopper::load_bytes(buffers + before * bytes, from + int64_t{i - 1 + kWideStages} * bytes, bytes,
                         barriers->full[before]);
    }
    __syncwarp();
  }
};

#endif

}  // namespace zeta::cuda
