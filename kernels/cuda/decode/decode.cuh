// The decode kernel. A warp has its own tiles of an item's keys, every fourth, and its own ring of them in
// shared memory, so that no warp waits for another until an item's end.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/decode/merge.cuh"

namespace zeta::cuda {

template <class T_, class C_, int kDim_>
struct DecodeTraits {
  using T = T_;
  using C = C_;
  static constexpr int kDim = kDim_;
  using Tile = CacheTile<C, kDim>;
  using Products = DecodeProducts<T, C, kDim>;
  static constexpr int kStageBytes = 2 * Tile::kBytes;  // keys and values
  static constexpr int kStages = std::clamp(16384 / kStageBytes, 2, 4);
  static constexpr int kMergeBytes = kTileRows * (kDim + 8) * 4;  // takes the ring's place
  static constexpr int kWarpBytes = std::max(kStages * kStageBytes, kMergeBytes);
  static constexpr int kBlocks = kDim > 128 ? 1 : 3;  // of a multiprocessor; registers for so many
};

template <class Traits>
struct DecodeWarp {
  using Products = typename Traits::Products;
  using T = typename Traits::T;
  using C = typename Traits::C;
  static constexpr int kDim = Traits::kDim, kStages = Traits::kStages;

  uint32_t q[Products::kParts][4];
  float out[kDim / 8][4] = {};
  DecodeSoftmax softmax;
  DecodeRow rows[2];

  __device__ void load_queries(const DecodeTask& a, const DecodePart& part, const DecodeSequence& s,
                               int count) {
    const bool packed = a.queries.cu_seqlens != nullptr;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int row = threadIdx.x % 32 / 4 + 8 * r;
      const QueryRow at = query_row(a, part, row);
      const T* query = static_cast<const T*>(a.q.data) + query_offset(a.q, part, s, at, packed);
#pragma unroll
      for (int i = 0; i < Products::kParts; ++i)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const int dim = Products::query_dim(i) + half * Products::kQueryStep;
          q[i][2 * half + r] =
              row < count && dim < a.head_dim ? *reinterpret_cast<const uint32_t*>(query + dim) : 0;
        }
      if (row >= count) continue;
      rows[r].visible = visible_keys(a, s, at.position);
      rows[r].diagonal = at.position + s.keys - s.queries;
      if (a.alibi != nullptr)
        rows[r].slope = kLog2e * __ldg(a.alibi + int64_t{part.sequence} * a.alibi_stride + at.head);
    }
  }

  __device__ void attend(const DecodeScale& scale, int key, const uint8_t* stage) {
    float s[2][4] = {}, rescale[2];
    Products::scores(s, q, stage);
    scale.apply(s, key, rows);
    if (softmax.update(s, rescale)) {
#pragma unroll
      for (int i = 0; i < kDim / 8; ++i)
#pragma unroll
        for (int e = 0; e < 4; ++e) out[i][e] *= rescale[e / 2];
    }
    const uint32_t p[4] = {pack(s[0][0], s[0][1], T{}), pack(s[0][2], s[0][3], T{}),
                           pack(s[1][0], s[1][1], T{}), pack(s[1][2], s[1][3], T{})};
    Products::add_values(out, p, stage + Traits::Tile::kBytes);
  }
};

// Keys [begin, end) of a part: those that any row of its tile sees, from a multiple of 16 on.
__device__ inline DecodeVisible keys_of(const DecodeTask& a, const DecodePart& part, const DecodeSequence& s,
                                        int rows) {
  const int begin = visible_keys(a, s, query_row(a, part, 0).position).begin / kTileKeys * kTileKeys;
  const int end = visible_keys(a, s, query_row(a, part, rows - 1).position).end;
  const int first = begin + part.first_step * kStepKeys;
  return {smaller(first, end), smaller(first + part.steps * kStepKeys, end)};
}

template <class Traits>
__device__ void attend_part(const DecodeTask& a, const DecodePart& part, const DecodeSequence& s,
                            uint8_t* shared, RowSum (*sums)[kTileRows],
                            const DecodeWorkspace<Traits::kDim>& workspace) {
  using C = typename Traits::C;
  constexpr int kDim = Traits::kDim, kStages = Traits::kStages;
  const int warp = threadIdx.x / 32, warps = blockDim.x / 32, lane = threadIdx.x % 32;
  const int rows = min(kTileRows, s.queries * a.group - part.tile * kTileRows);
  const DecodeVisible keys = keys_of(a, part, s, rows);
  const int first = keys.begin + warp * kTileKeys, stride = warps * kTileKeys;
  const int tiles = first < keys.end ? (keys.end - first + stride - 1) / stride : 0;
  uint8_t* const ring = shared + warp * Traits::kWarpBytes;
  const C* const k = static_cast<const C*>(a.keys.k.data) + int64_t{part.kv_head} * a.keys.k.head_stride;
  const C* const v = static_cast<const C*>(a.keys.v.data) + int64_t{part.kv_head} * a.keys.v.head_stride;
  TilePlaces places(a, part.sequence, first, stride, keys.end);
  const auto load = [&](int tile) {
    if (tile < tiles) {
      uint8_t* const stage = ring + tile % kStages * Traits::kStageBytes;
      uint8_t* const values = stage + Traits::Tile::kBytes;
      if (places.whole_tiles) {
        const KeyPlace place = places.first_row(a, tile);
        const int count = smaller(kTileKeys, keys.end - first - tile * stride);
        load_tile<C, kDim>(a.keys.k, k, a.head_dim, place, count, stage);
        load_tile<C, kDim>(a.keys.v, v, a.value_dim, place, count, values);
      } else {
        const KeyPlace place = places.own_row(a, tile);
        gather_tile<C, kDim>(a.keys.k, k, a.head_dim, place, stage);
        gather_tile<C, kDim>(a.keys.v, v, a.value_dim, place, values);
      }
    }
    commit_copies();
  };
#pragma unroll 1
  for (int i = 0; i < kStages; ++i) load(i);

  DecodeWarp<Traits> own;
  own.load_queries(a, part, s, rows);
  float factor = a.softmax_scale;
  if (a.keys.k_descale != nullptr)
    factor *= a.keys.k_descale[int64_t{part.sequence} * a.keys.k_descale_strides[0] +
                               part.kv_head * a.keys.k_descale_strides[1]];
  const DecodeScale scale(factor, a.softcap, a.alibi != nullptr);
#pragma unroll 1
  for (int tile = 0; tile < tiles; ++tile) {
    wait_for_copies<kStages - 1>();
    __syncwarp();
    own.attend(scale, first + tile * stride, ring + tile % kStages * Traits::kStageBytes);
    __syncwarp();
    load(tile + kStages);
  }

  own.softmax.finish();
  const bool bad = __any_sync(~0u, places.bad) || s.bad;
  const int row = lane / 4;
  if (threadIdx.x % 4 == 0)
    for (int r = 0; r < 2; ++r)
      sums[warp][row + 8 * r] = {own.softmax.largest[r], bad ? NAN : own.softmax.sum[r]};
  auto* const out = reinterpret_cast<float(*)[kDim + 8]>(ring);
  for (int r = 0; r < 2; ++r)
#pragma unroll
    for (int i = 0; i < Traits::Products::kPieces; ++i)
      Traits::Products::store(&out[row + 8 * r][Traits::Products::output_dim(i)], own.out, i, r, 1);
  __syncthreads();
  merge_warps<typename Traits::T, kDim>(a, part, s, rows, sums, shared, Traits::kWarpBytes, workspace);
}

// The block's share of all steps.
__device__ inline DecodeWalk find_walk(const DecodeTask& a) {
  __shared__ int before_warp[kDecodeWarps];
  __shared__ int most_of_warp[kDecodeWarps];
  __shared__ int local, sequence;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int each = (a.sequences + static_cast<int>(blockDim.x) - 1) / static_cast<int>(blockDim.x);
  const int begin = smaller(threadIdx.x * each, a.sequences), end = smaller(begin + each, a.sequences);
  int own = 0, most = 0;
  for (int b = begin; b < end; ++b) {
    const DecodeSequence s = decode_sequence(a, b);
    own += steps_of(a, s);
    if (s.tiles > 0) most = max(most, s.cost);
  }
  int sum = own;  // … and of the threads before, in the warp
  for (int d = 1; d < 32; d *= 2) {
    const int other = __shfl_up_sync(~0u, sum, d);
    if (lane >= d) sum += other;
  }
  most = __reduce_max_sync(~0u, most);
  if (lane == 31) before_warp[warp] = sum;
  if (lane == 31) most_of_warp[warp] = most;
  __syncthreads();
  int total = 0, first = sum - own;
  for (int w = 0; w < static_cast<int>(blockDim.x) / 32; ++w) {
    if (w < warp) first += before_warp[w];
    total += before_warp[w];
    most = max(most, most_of_warp[w]);
  }
  DecodeWalk walk;
  walk.share = decode_share(total, gridDim.x, most);
  walk.step = blockIdx.x * walk.share;
  walk.end = min(walk.step + walk.share, total);
  if (walk.step >= first && walk.step < first + own) {
    int b = begin;
    for (int steps; first + (steps = steps_of(a, decode_sequence(a, b))) <= walk.step; ++b) first += steps;
    local = walk.step - first;
    sequence = b;
  }
  __syncthreads();
  if (walk.step >= walk.end) return walk;
  walk.local = local;
  walk.sequence = sequence;
  walk.begin(a);
  return walk;
}

// dependent: q, or keys and values, are written by the grid before.
template <class Traits>
__global__ __launch_bounds__(kDecodeWarps * 32,
                             Traits::kBlocks) void decode_kernel(const __grid_constant__ DecodeTask a,
                                                                 bool dependent) {
  extern __shared__ __align__(128) uint8_t shared[];
  __shared__ RowSum sums[kDecodeWarps][kTileRows];
  if (dependent) wait_for_previous_grid();
  const DecodeWorkspace<Traits::kDim> workspace(a.workspace, gridDim.x);
  // The walk's state is the same for all threads, whose registers are scarce.
  __shared__ DecodeWalk walk;
  __shared__ DecodePart part;
  __shared__ DecodeSequence sequence;
  __shared__ bool more;
  const DecodeWalk found = find_walk(a);
  if (threadIdx.x == 0) walk = found;
  while (true) {
    if (threadIdx.x == 0) more = walk.next(a, part, sequence);
    __syncthreads();
    if (!more) return;
    attend_part<Traits>(a, part, sequence, shared, sums, workspace);
    __syncthreads();  // before the rings are filled anew
  }
}

}  // namespace zeta::cuda
