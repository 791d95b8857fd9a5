// Which steps a block of keys has in the backward with options, and the warp that loads them.
#pragma once

#include "kernels/cuda/attention/backward_edit.cuh"
#include "kernels/cuda/attention/backward_tiles.cuh"
#include "kernels/cuda/attention/bias_tile.cuh"

namespace zeta::cuda {

struct BackwardOptionParams : BackwardParams {
  BiasBoxes bias;
  ScoreParams score;
  AttentionPacking packing;
  AttentionBiasGradient grad_bias;
  bool batches_together;  // batches are the grid's second dimension, kv heads its third
  int* turns;  // none, or for each block of queries and warpgroup how many blocks of keys have added to dQ
};

// Batches without packing are sequences from row 0 on.
__device__ inline PackedSequence sequence_of(const BackwardParams& p, int) {
  return {0, p.seq_q, 0, p.seq_k, 0};
}
__device__ inline PackedSequence sequence_of(const BackwardOptionParams& p, int batch) {
  return p.packing.sequences ? p.packing.sequences[batch] : PackedSequence{0, p.seq_q, 0, p.seq_k, 0};
}
// The batch as tensors count it.
__device__ inline int tensor_batch(const BackwardParams&, int batch) { return batch; }
__device__ inline int tensor_batch(const BackwardOptionParams& p, int batch) {
  return p.packing.sequences ? 0 : batch;
}

__device__ inline void clear_turns(const BackwardParams&, int64_t) {}
__device__ inline void clear_turns(const BackwardOptionParams& p, int64_t block) {
  if (p.turns) p.turns[2 * block] = p.turns[2 * block + 1] = 0;
}

// A block of dQ, to which blocks of keys add: as they come, or in the order of keys, in which they start too.
template <class Traits>
struct SharedSum {
  float* data;
  int* turn;  // of a warpgroup, null where the order is free
  int before;

  __device__ SharedSum(const BackwardOptionParams& p, const StepPlace& at, int group) {
    const int64_t block = (int64_t{tensor_batch(p, at.batch)} * p.num_heads + at.info.head) * p.query_blocks +
                          at.sequence.first_block + at.info.step;
    data = p.grad_q + block * (Traits::kHeadDim * Traits::kQueries);
    turn = p.turns ? p.turns + 2 * block + group : nullptr;
    before = at.info.before;
  }
  __device__ void await(int group, int thread) const {
    if (!turn) return;
    if (thread == 0) {
      int added;
      do asm volatile("ld.global.acquire.gpu.b32 %0, [%1];" : "=r"(added) : "l"(turn) : "memory");
      while (added != before);
    }
    hopper::named_sync(2 + group, 128);
  }
  __device__ void pass(int group, int thread) const {
    if (!turn) return;
    __threadfence();
    hopper::named_sync(2 + group, 128);
    if (thread == 0)
      asm volatile("st.global.release.gpu.b32 [%0], %1;" ::"l"(turn), "r"(before + 1) : "memory");
  }
};

// For each head of a group, the blocks of queries that see some of kKeys keys. next() goes to the first.
template <class Traits>
struct StepWalk {
  const BackwardOptionParams& p;
  const PackedSequence& s;
  int first_key, batch, head, end_head;
  int step, first, end;
  int whole_begin, whole_end;  // the queries that see all keys, as far as the window goes

  __device__ __forceinline__ StepWalk(const BackwardOptionParams& params, const PackedSequence& sequence,
                                      int first_key_, int kv_head, int batch_)
      : p(params),
        s(sequence),
        first_key(first_key_),
        batch(batch_),
        head(kv_head * p.group),
        end_head(head + p.group) {
    const int last_key = min(first_key + Traits::kKeys, s.seq_k) - 1;
    const Span begins = seeing_queries(p.score, s, first_key), ends = seeing_queries(p.score, s, last_key);
    first = begins.begin / Traits::kQueries;
    end = ends.end <= begins.begin ? first : (ends.end + Traits::kQueries - 1) / Traits::kQueries;
    step = first - 1;
    whole_begin = ends.begin, whole_end = first_key + Traits::kKeys > s.seq_k ? -1 : begins.end;
  }
  __device__ __forceinline__ int kind() const {
    // Where blocks take turns, none is left out.
    return MaskView(p.score.mask, batch, head).kind<Traits::kKeys>(first_key, step * Traits::kQueries) |
           (p.turns ? kMaskSomeTrue : 0);
  }
  __device__ __forceinline__ bool next() {
    if (first >= end) return false;
    do {
      if (++step == end) {
        step = first;
        if (++head == end_head) return false;
      }
    } while (!(kind() & kMaskSomeTrue));
    return true;
  }
  // How many blocks of keys see the step's queries and come first.
  __device__ __forceinline__ int before() const {
    const int left = p.score.window_left, position = step * Traits::kQueries + s.seq_k - s.seq_q;
    return first_key / Traits::kKeys - (left < 0 ? 0 : max(0, position - left) / Traits::kKeys);
  }
  __device__ __forceinline__ bool partly() const {
    return step * Traits::kQueries < whole_begin || (step + 1) * Traits::kQueries > whole_end;
  }
};

// Where a step's biases lie until they are dS's, whose place they share: each warpgroup's tiles of 64 keys
// begin where its dS does, and follow each other by kBiasStep.
constexpr int kBiasStep = 2 * kBiasTile;

template <class Traits>
__device__ __forceinline__ void load_step_bias(const BackwardOptionParams& p, char* to, Barrier& full,
                                               int query, int first_key, int head, int batch) {
  for (int group = 0; group < 2; ++group)
    for (int at = 0; at < Traits::kQueries; at += 64)
      p.bias.load(to + at / 64 * kBiasStep + group * kBiasTile, full, query + at, first_key + group * 64,
                  head, batch);
}

template <class Traits>
__device__ __forceinline__ void load_option_steps(const BackwardOptionParams& p,
                                                  typename Traits::Shared& shared, int first_key, int kv_head,
                                                  int batch) {
  const PackedSequence& s = shared.sequence;
  StepWalk<Traits> walk(p, s, first_key, kv_head, batch);
  const int its_batch = tensor_batch(p, batch);
  RingPosition<Traits::kStages> at;
  shared.kv_full.arrive_expecting(2 * Traits::kKeyBytes);
  for (int column = 0; column < Traits::kHeadDim; column += 64) {
    hopper::load_box(shared.k + column * Traits::kKeys * 2, p.k, shared.kv_full, column,
                     s.first_key + first_key, kv_head, its_batch);
    hopper::load_box(shared.v + column * Traits::kKeys * 2, p.v, shared.kv_full, column,
                     s.first_key + first_key, kv_head, its_batch);
  }
  while (walk.next()) {
    const int row = s.first_query + walk.step * Traits::kQueries;
    shared.q_free[at.stage].wait(at.parity ^ 1);
    shared.infos[at.stage] = {walk.step, walk.head, walk.partly(), (walk.kind() & kMaskSomeFalse) != 0,
                              walk.before()};
    hopper::load_tile(shared.q[at.stage], p.q, shared.q_full[at.stage], Traits::kHeadDim, Traits::kQueries,
                      row, walk.head, its_batch);
    shared.grad_free[at.stage].wait(at.parity ^ 1);
    Barrier& full = shared.grad_full[at.stage];
    full.arrive_expecting(Traits::kQueryBytes + Traits::kStatisticsBytes +
                          (p.bias.used ? Traits::kScoreBytes : 0));
    if (p.bias.used)
      load_step_bias<Traits>(p, shared.grad_scores[at.stage], full, row, first_key, walk.head, batch);
    const int64_t block =
        (int64_t{its_batch} * p.num_heads + walk.head) * p.query_blocks + s.first_block + walk.step;
    hopper::load_bytes(shared.statistics[at.stage], p.statistics + block * 2 * Traits::kQueries,
                       Traits::kStatisticsBytes, full);
    for (int column = 0; column < Traits::kHeadDim; column += 64)
      hopper::load_box(shared.grad_out[at.stage] + column * Traits::kQueries * 2, p.grad_out, full, column,
                       row, walk.head, its_batch);
    at.next();
  }
  shared.q_free[at.stage].wait(at.parity ^ 1);
  shared.infos[at.stage].step = -1;
  shared.q_full[at.stage].arrive();
}

}  // namespace zeta::cuda
