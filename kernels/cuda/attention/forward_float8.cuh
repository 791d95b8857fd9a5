// The forward kernel of e4m3 operands for Hopper: forward_sm90.cuh's warpgroups and turns, with products of
// 8-bit numbers. Probabilities become the left operand of their product where they lie in registers, since
// values are arranged for that (arrange_values.cuh).
#pragma once

#include "kernels/cuda/attention/float8_tiles.cuh"
#include "kernels/cuda/attention/forward_barriers.cuh"
#include "kernels/cuda/attention/rows.cuh"
#include "kernels/cuda/attention/softmax.cuh"
#include "kernels/cuda/hopper/wgmma.cuh"
#include "kernels/cuda/hopper/wgmma_e4m3.cuh"

namespace zeta::cuda {

// The greatest probability of a row lies between 2⁷ and 2^8.75 < 448, so that e4m3 has normal numbers for
// 2⁻¹³ of it, and some for 2⁻¹⁶.
struct Float8Range {
  static constexpr float kTop = 7, kLag = 1.75f;
};

__device__ __forceinline__ uint32_t pack_e4m3(float a, float b, float c, float d) {
  uint32_t packed;
  asm("{.reg .b16 low, high;"
      "cvt.rn.satfinite.e4m3x2.f32 low, %2, %1;"
      "cvt.rn.satfinite.e4m3x2.f32 high, %4, %3;"
      "mov.b32 %0, {low, high};}"
      : "=r"(packed)
      : "f"(a), "f"(b), "f"(c), "f"(d));
  return packed;
}

__device__ __forceinline__ float head_scale(const HeadScales& s, int batch, int kv_head) {
  const float scale = s.data ? s.data[batch * s.batch_stride + kv_head * s.head_stride] : 1;
  return scale > 0 ? scale : NAN;
}

// A warpgroup's 64 rows of the tiles of queries.
template <class Traits>
struct Float8Worker {
  const Float8Params& p;
  typename Traits::Shared& shared;
  const int group, thread;  // which warpgroup, which thread of it
  RingPosition<Traits::kQueryStages> q_at;
  RingPosition<Traits::kStages> k_at, v_at;
  float scores[Traits::kKeys / 2];
  float out[Traits::kValueDim / 2];
  uint32_t probabilities[Traits::kKeys / 32][4];
  float earlier[2];  // what shared.out is to be multiplied by
  int seen;          // keys that the first row sees, less the first column of this thread

  __device__ __forceinline__ Float8Worker(const Float8Params& params, typename Traits::Shared& shared_,
                                          int group_, int thread_)
      : p(params), shared(shared_), group(group_), thread(thread_) {}

  // Warpgroups take turns at the tensor cores, so that one's softmax runs beside another's products.
  __device__ __forceinline__ void take_turn() { hopper::named_sync(1 + group, 256); }
  __device__ __forceinline__ void pass_turn() {
    hopper::named_arrive(1 + (group + 1) % Traits::kGroups, 256);
  }

  __device__ __forceinline__ void release(Barrier& barrier) {
    if (thread == 0) barrier.arrive();
  }

  // Starts scores = q kᵀ.
  __device__ __forceinline__ void start_scores() {
    const char* q = shared.q[q_at.stage] + group * 64 * Traits::kRowBytes;
    const uint64_t a = hopper::matrix_descriptor(q), b = hopper::matrix_descriptor(shared.k[k_at.stage]);
    hopper::pin(scores);
    hopper::wgmma_fence();
#pragma unroll
    for (int d = 0; d < Traits::kHeadDim; d += 32)
      hopper::wgmma_e4m3(scores, hopper::advance(a, d), hopper::advance(b, d), d > 0);
    hopper::wgmma_commit();
  }

  // Starts out += probabilities · v.
  __device__ __forceinline__ void start_output(bool accumulate) {
    const uint64_t b = hopper::slab_descriptor(shared.v[v_at.stage]);
    hopper::pin(out);
    hopper::wgmma_fence();
#pragma unroll
    for (int i = 0; i < Traits::kKeys / kValueKeys; ++i)
      hopper::wgmma_e4m3(out, probabilities[i], hopper::advance(b, i * kValueKeys * Traits::kValueDim),
                         accumulate || i > 0);
    hopper::wgmma_commit();
  }

  __device__ __forceinline__ void round_probabilities() {
#pragma unroll
    for (int i = 0; i < Traits::kKeys / 32; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const float* s = scores + 16 * i + j / 2 * 8 + j % 2 * 2;
        probabilities[i][j] = pack_e4m3(s[0], s[1], s[4], s[5]);
      }
  }

  // The first of this thread's two rows, of a tile's; the other is eight on.
  __device__ __forceinline__ int own_row() const { return group * 64 + thread / 32 * 16 + thread % 32 / 4; }

  // -inf for keys that a row does not see. Under causality rows that do not exist may see keys that do not.
  __device__ __forceinline__ void exclude(int first_key) {
    const int end = seen - first_key;
#pragma unroll
    for (int half = 0; half < 2; ++half)
#pragma unroll
      for (int i = 0; i < Traits::kKeys / 2; i += 4)
#pragma unroll
        for (int j = 0; j < 2; ++j)
          if (2 * i + j - (Traits::kCausal ? 8 * half : 0) >= end) scores[i + 2 * half + j] = -INFINITY;
  }

  // Adds shared.out to out, in whole fp32.
  __device__ __forceinline__ void add_earlier() {
    const float4(*from)[128] = shared.out[group];
#pragma unroll
    for (int i = 0; i < Traits::kValueDim / 8; ++i) {
      const float4 sums = from[i][thread];
      out[4 * i] += sums.x * earlier[0], out[4 * i + 1] += sums.y * earlier[0];
      out[4 * i + 2] += sums.z * earlier[1], out[4 * i + 3] += sums.w * earlier[1];
    }
  }
  __device__ __forceinline__ void put_aside() {
#pragma unroll
    for (int i = 0; i < Traits::kValueDim / 8; ++i)
      shared.out[group][i][thread] = {out[4 * i], out[4 * i + 1], out[4 * i + 2], out[4 * i + 3]};
    earlier[0] = earlier[1] = 1;
  }

  __device__ __forceinline__ void work(const AttentionTile& tile) {
    const KeyBlocks<Traits> blocks(p, tile.row_block * Traits::kRows, Traits::kRows);
    const int kv_head = tile.head / p.group;
    OnlineSoftmaxWithin<Float8Range> softmax;
    if (blocks.count == 0) {
#pragma unroll
      for (float& o : out) o = 0;
      write(tile, softmax.finish(out));
      return;
    }
    seen = p.seq_k - thread % 4 * 2;
    if (Traits::kCausal) seen += tile.row_block * Traits::kRows + own_row() + 1 - p.seq_q;
    float scale_log2 = p.scale * head_scale(p.q_descale, tile.batch, kv_head) *
                       head_scale(p.k_descale, tile.batch, kv_head) * 1.44269504088896340736f;
    if (scale_log2 < 0x1p-126f) scale_log2 = 0x1p-126f;  // 0 times -inf would be NaN
    int block = blocks.count - 1;
    shared.q_full[q_at.stage].wait(q_at.parity);
    shared.k_full[k_at.stage].wait(k_at.parity);
    take_turn();
    start_scores();
    pass_turn();
    hopper::wgmma_wait<0>();
    hopper::pin(scores);
    release(shared.k_free[k_at.stage]);
    k_at.next();
    if (block >= blocks.whole) exclude(block * Traits::kKeys);
    softmax.update(scores, scale_log2);
    round_probabilities();
    bool aside = false;  // whether there is anything in shared.out
    int together = 0;    // tiles whose outputs are in out
    const auto step = [&](bool partly) {
      shared.k_full[k_at.stage].wait(k_at.parity);
      take_turn();
      start_scores();
      shared.v_full[v_at.stage].wait(v_at.parity);
      start_output(together > 0);
      pass_turn();
      hopper::wgmma_wait<1>();
      hopper::pin(scores);
      release(shared.k_free[k_at.stage]);
      k_at.next();
      if (partly) exclude(block * Traits::kKeys);
      const bool moved = softmax.update(scores, scale_log2);
      // The softmax runs beside the product, not after it.
      hopper::hold_back(softmax.sum[0] + softmax.sum[1]);
      hopper::wgmma_wait<0>();
      hopper::pin(out);
      release(shared.v_free[v_at.stage]);
      v_at.next();
      if (++together == Traits::kTilesTogether) {
        if (aside) add_earlier();
        put_aside();
        aside = true, together = 0;
      }
      if (moved) {
        softmax.rescale_output(out);
        earlier[0] *= softmax.rescale[0], earlier[1] *= softmax.rescale[1];
      }
      round_probabilities();
    };
    --block;
    if (Traits::kCausal)
      for (; block >= max(blocks.whole, 0); --block) step(true);
    for (; block >= 0; --block) step(false);
    release(shared.q_free[q_at.stage]);
    q_at.next();
    shared.v_full[v_at.stage].wait(v_at.parity);
    start_output(together > 0);
    hopper::wgmma_wait<0>();
    hopper::pin(out);
    release(shared.v_free[v_at.stage]);
    v_at.next();
    if (aside) add_earlier();
    const float2 lse = softmax.finish(out);
    int head = tile.head;
    asm volatile("" : "+r"(head));  // or the compiler keeps kv_head in a register all the while
    const float v_descale = head_scale(p.v_descale, tile.batch, head / p.group);
#pragma unroll
    for (float& o : out) o *= v_descale;
    write(tile, lse);
  }

  __device__ __forceinline__ void write(const AttentionTile& tile, float2 lse) {
    const int row = tile.row_block * Traits::kRows + own_row();
    float* to_lse = p.lse + (int64_t{tile.batch} * p.num_heads + tile.head) * p.seq_q + row;
    if (thread % 4 == 0 && row < p.seq_q) to_lse[0] = lse.x;
    if (thread % 4 == 0 && row + 8 < p.seq_q) to_lse[8] = lse.y;
    write_rows(out,
               static_cast<__nv_bfloat16*>(p.out) + tile.batch * p.out_batch_stride +
                   tile.head * p.out_head_stride + row * p.out_seq_stride,
               p.out_seq_stride, p.seq_q - row, p.value_dim);
  }
};

template <class Traits>
__global__ void __launch_bounds__(Traits::kThreads, 1)
    float8_forward_kernel(const __grid_constant__ Float8Params p) {
  extern __shared__ char raw[];
  auto& shared = hopper::aligned_shared<typename Traits::Shared>(raw);
  const int group = hopper::warpgroup();
  if (threadIdx.x == 0) {
    init_forward_barriers<Traits>(shared);
    hopper::publish_barriers();
  }
  __syncthreads();
  if (group == 0) {
    hopper::release_registers<Traits::kGroups == 2 ? 24 : 32>();
    if (threadIdx.x == 0) load_float8_tiles<Traits>(p, shared);
  } else {
    hopper::claim_registers<Traits::kGroups == 2 ? 240 : 160>();
    Float8Worker<Traits> worker(p, shared, group - 1, static_cast<int>(threadIdx.x) % 128);
    if (group == Traits::kGroups) worker.pass_turn();  // the first warpgroup begins
    AttentionTile tile;
    for (int turn = 0; p.schedule.get(turn, tile); ++turn) worker.work(tile);
  }
}

}  // namespace zeta::cuda
