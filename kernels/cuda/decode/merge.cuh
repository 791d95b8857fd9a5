// Sums of the same rows over different keys become one: those of a block's warps, and those of the blocks
// that share an item. Always in the order of the keys, so that results are the same in every run.
#pragma once

#include <cstdint>

#include "kernels/cuda/decode/products.cuh"
#include "kernels/cuda/decode/scores.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/numbers.cuh"

namespace zeta::cuda {

constexpr int kDecodeWarps = 4;  // of a block, at most

// Of a row: the largest score, and the sum of powers relative to it. NaN where the cache was asked for what
// it does not hold.
struct RowSum {
  float largest;
  float sum;
};

__device__ inline float weight_of(float largest, float of_all) {
  return largest == -INFINITY ? 0 : exp2_approx(largest - of_all);
}

// What a block leaves of an item that it shares: slot 0 where the item began before it.
template <int kDim>
struct DecodePartial {
  RowSum rows[kTileRows];
  float out[kTileRows][kDim];
};

template <int kDim>
struct DecodeWorkspace {
  int32_t* arrived;  // of the item that begins in a block and goes on in the next: blocks that are done
  DecodePartial<kDim>* partials;

  __host__ __device__ static size_t counter_bytes(size_t blocks) { return (blocks * 4 + 15) / 16 * 16; }
  __host__ __device__ static size_t bytes(size_t blocks) {
    return counter_bytes(blocks) + 2 * blocks * sizeof(DecodePartial<kDim>);
  }
  __device__ DecodeWorkspace(void* memory, unsigned blocks)
      : arrived(static_cast<int32_t*>(memory)),
        partials(
            reinterpret_cast<DecodePartial<kDim>*>(static_cast<uint8_t*>(memory) + counter_bytes(blocks))) {}
  __device__ DecodePartial<kDim>& slot(const DecodePart& part, int block) const {
    return partials[2 * block + (block == part.first_block ? 1 : 0)];
  }
};

// A row's place in q, out and lse.
struct QueryRow {
  int position;
  int head;
};
__device__ inline QueryRow query_row(const DecodeTask& a, const DecodePart& part, int row) {
  const int index = part.tile * kTileRows + row, position = index / a.group;
  return {position, part.kv_head * a.group + index - position * a.group};
}
__device__ inline int64_t query_offset(const DecodeTensor& t, const DecodePart& part, const DecodeSequence& s,
                                       QueryRow row, bool packed) {
  return (packed ? 0 : int64_t{part.sequence} * t.batch_stride) +
         int64_t{s.first_row + row.position} * t.seq_stride + int64_t{row.head} * t.head_stride;
}

// Four neighbouring dimensions of a finished row.
template <class T>
__device__ void store_result(const DecodeTask& a, const DecodePart& part, const DecodeSequence& s, int row,
                             int dim, RowSum sum, float4 out) {
  const QueryRow at = query_row(a, part, row);
  const bool packed = a.queries.cu_seqlens != nullptr;
  float largest = sum.largest, total = sum.sum, factor = 1;
  if (a.sinks != nullptr) {
    const float sink = __ldg(a.sinks + at.head) * kLog2e;
    const float most = fmaxf(largest, sink);
    factor = weight_of(largest, most);
    total = total * factor + weight_of(sink, most);
    largest = most;
  }
  factor = total == 0 ? 0 : __fdividef(factor, total);
  if (dim == 0)
    a.lse[(packed ? s.first_row : int64_t{part.sequence} * a.lse_batch_stride) +
          int64_t{at.head} * a.lse_head_stride + at.position] =
        total == 0 ? -INFINITY : (largest + __log2f(total)) * kLn2;
  if (dim >= a.value_dim) return;
  if (a.keys.v_descale != nullptr)
    factor *= a.keys.v_descale[int64_t{part.sequence} * a.keys.v_descale_strides[0] +
                               part.kv_head * a.keys.v_descale_strides[1]];
  T* to = static_cast<T*>(a.out.data) + query_offset(a.out, part, s, at, packed) + dim;
  *reinterpret_cast<uint2*>(to) = {pack(out.x * factor, out.y * factor, T{}),
                                   pack(out.z * factor, out.w * factor, T{})};
}

__device__ inline void add(float4& to, float4 x, float factor) {
  to = {to.x + x.x * factor, to.y + x.y * factor, to.z + x.z * factor, to.w + x.w * factor};
}

// The sums of all blocks that share an item, by the last of them. `weights` has room for kTileRows numbers of
// each. First all threads read the rows' sums at once, then the outputs: what a thread waits for is two
// loads' time.
template <class T, int kDim>
__device__ void merge_blocks(const DecodeTask& a, const DecodePart& part, const DecodeSequence& s, int rows,
                             const DecodeWorkspace<kDim>& workspace, float* weights) {
  __shared__ RowSum all[kTileRows];
  const int blocks = part.last_block - part.first_block + 1, lane = threadIdx.x % 32;
  for (int row = threadIdx.x / 32; row < rows; row += blockDim.x / 32) {
    float largest = -INFINITY, sum = 0;
    for (int i = lane; i < blocks; i += 32)
      largest = fmaxf(largest, __ldcg(&workspace.slot(part, part.first_block + i).rows[row].largest));
    for (int d = 16; d > 0; d /= 2) largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, d));
    for (int i = lane; i < blocks; i += 32) {
      const auto* from =
          reinterpret_cast<const float2*>(&workspace.slot(part, part.first_block + i).rows[row]);
      const float2 own = __ldcg(from);
      const float weight = weight_of(own.x, largest);
      weights[i * kTileRows + row] = weight;
      sum += own.y == own.y ? own.y * weight : own.y;
    }
    sum = warp_sum(sum);
    if (lane == 0) all[row] = {largest, sum};
  }
  __syncthreads();
  for (int i = threadIdx.x; i < rows * (kDim / 4); i += blockDim.x) {
    const int row = i / (kDim / 4), dim = i % (kDim / 4) * 4;
    float4 out = {0, 0, 0, 0};
#pragma unroll 8
    for (int k = 0; k < blocks; ++k) {
      const float* from = &workspace.slot(part, part.first_block + k).out[row][dim];
      add(out, __ldcg(reinterpret_cast<const float4*>(from)), weights[k * kTileRows + row]);
    }
    store_result<T>(a, part, s, row, dim, all[row], out);
  }
}

// A block's sums, from its warps' in shared memory, which lie `stride` bytes apart: finished, or left for the
// last block of the item.
template <class T, int kDim>
__device__ void merge_warps(const DecodeTask& a, const DecodePart& part, const DecodeSequence& s, int rows,
                            const RowSum (*sums)[kTileRows], uint8_t* outs, int stride,
                            const DecodeWorkspace<kDim>& workspace) {
  const int warps = blockDim.x / 32;
  const bool alone = part.first_block == part.last_block;
  for (int i = threadIdx.x; i < rows * (kDim / 4); i += blockDim.x) {
    const int row = i / (kDim / 4), dim = i % (kDim / 4) * 4;
    RowSum all = {-INFINITY, 0};
    for (int w = 0; w < warps; ++w) all.largest = fmaxf(all.largest, sums[w][row].largest);
    float4 out = {0, 0, 0, 0};
    for (int w = 0; w < warps; ++w) {
      const RowSum sum = sums[w][row];
      const float weight = weight_of(sum.largest, all.largest);
      all.sum += sum.sum == sum.sum ? sum.sum * weight : sum.sum;
      const auto* values = reinterpret_cast<const float*>(outs + w * stride) + row * (kDim + 8) + dim;
      add(out, *reinterpret_cast<const float4*>(values), weight);
    }
    if (alone) {
      store_result<T>(a, part, s, row, dim, all, out);
    } else {
      DecodePartial<kDim>& partial = workspace.slot(part, blockIdx.x);
      *reinterpret_cast<float4*>(&partial.out[row][dim]) = out;
      if (dim == 0) partial.rows[row] = all;
    }
  }
  if (alone) return;
  __shared__ int before;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    wait_for_previous_grid();  // which clears the counters
    before = atomicAdd(workspace.arrived + part.first_block, 1);
  }
  __syncthreads();
  if (before != part.last_block - part.first_block) return;
  __threadfence();
  merge_blocks<T, kDim>(a, part, s, rows, workspace, reinterpret_cast<float*>(outs));
}

}  // namespace zeta::cuda
