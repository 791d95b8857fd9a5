// Who computes what. An item is a tile of 16 query rows of one kv head and sequence; a step is 64 of its
// keys. The steps of all items, one behind the other, are cut into equal shares, one for each block. A share
// may begin and end within an item: its blocks then leave partial sums, which the last of them merges.
//
// Every block reads all lengths and finds its own share, so that no launch has to go before and the host
// needs to know nothing.
#pragma once

#include <climits>
#include <cstdint>

#include "kernels/cuda/decode/decode.h"

namespace zeta::cuda {

constexpr int kTileRows = 16;
constexpr int kTileKeys = 16;
constexpr int kStepKeys = 64;
constexpr int kWholeSteps = 4;  // an item of so many steps is not worth cutting

struct DecodeSequence {
  int first_row;  // among the packed queries; 0 where they are not packed
  int queries;
  int keys;
  int tiles;
  int cost;  // steps of one item, at most
  bool bad;
};

// A call as the device reads it: with what it would divide for.
struct DecodeTask : DecodeAttention {
  int group;       // query heads of a kv head
  int page_shift;  // log2 of the page size; -1 where that is no power of two
  int most_keys;   // that a sequence may have

  __host__ explicit DecodeTask(const DecodeAttention& a)
      : DecodeAttention(a),
        group(a.num_heads / a.num_kv_heads),
        page_shift(-1),
        most_keys(a.keys.table != nullptr ? a.keys.max_pages * a.keys.page_size : a.keys.seq_k) {
    for (int shift = 0; shift < 31; ++shift)
      if (a.keys.page_size == 1 << shift) page_shift = shift;
  }
};

__host__ __device__ inline int smaller(int a, int b) { return a < b ? a : b; }
__host__ __device__ inline int greater(int a, int b) { return a > b ? a : b; }

// Keys that are visible from query `position`: [begin, end).
struct DecodeVisible {
  int begin;
  int end;
};
__host__ __device__ inline DecodeVisible visible_keys(const DecodeTask& a, const DecodeSequence& s,
                                                      int position) {
  const int diagonal = position + s.keys - s.queries;
  int begin = 0, end = s.keys;
  if (a.window_left >= 0) begin = greater(0, smaller(diagonal - a.window_left, s.keys));
  if (a.window_right >= 0) end = smaller(end, diagonal + 1 + a.window_right);
  if (a.causal) end = smaller(end, diagonal + 1);
  return {begin, greater(end, 0)};
}

__host__ __device__ inline DecodeSequence decode_sequence(const DecodeTask& a, int b) {
  DecodeSequence s = {};
  s.queries = a.queries.seq_q;
  if (a.queries.cu_seqlens != nullptr) {
    const int first = a.queries.cu_seqlens[b], end = a.queries.cu_seqlens[b + 1];
    const bool fits = first >= 0 && end >= first && end <= a.queries.total;
    s.first_row = fits ? first : 0;
    s.queries = fits ? end - first : 0;
  }
  const int held = a.keys.seq_lens != nullptr ? a.keys.seq_lens[b] : a.keys.seq_k;
  const int room = a.keys.appended ? a.most_keys - s.queries : a.most_keys;
  s.bad = held < 0 || held > room;
  s.keys = s.bad ? a.most_keys : a.keys.appended ? held + s.queries : held;
  s.tiles = (s.queries * a.group + kTileRows - 1) / kTileRows;
  int seen = s.keys;
  if (a.window_left >= 0 &&
      (a.causal || a.window_right >= 0)) {  // … from all positions of a tile, and aligned
    const int right = a.causal ? 0 : a.window_right, positions = (kTileRows - 1) / a.group + 2;
    seen = smaller(seen, a.window_left + right + positions + kTileKeys);
  }
  s.cost = greater(1, (seen + kStepKeys - 1) / kStepKeys);  // zeros have to be written, too
  return s;
}

__host__ __device__ inline int steps_of(const DecodeTask& a, const DecodeSequence& s) {
  return a.num_kv_heads * s.tiles * s.cost;
}

// As many steps as there can be, whatever the lengths.
inline int64_t decode_steps(const DecodeTask& a) {
  const int64_t tiles = int64_t{a.queries.total} * a.group / kTileRows + a.sequences;
  return tiles * a.num_kv_heads * greater(1, a.most_keys / kStepKeys + 1);
}

// A part of an item, and who has the others: the blocks first_block to last_block.
struct DecodePart {
  int sequence;
  int kv_head;
  int tile;
  int first_step;  // of the item
  int steps;
  bool begins;  // with the item's first step
  int first_block;
  int last_block;
};

// A block's walk over its share.
struct DecodeWalk {
  int step;   // in all
  int local;  // in the sequence
  int end;
  int share;
  int sequence;
  DecodeSequence current;

  __host__ __device__ void skip(const DecodeTask& a, int steps) {
    step += steps;
    local += steps;
    if (local < steps_of(a, current)) return;
    local = 0;
    do
      if (++sequence == a.sequences) {
        end = step;
        return;
      } else {
        current = decode_sequence(a, sequence);
      }
    while (current.tiles == 0);
  }

  // Where it begins, `step` and `local` being set. An item that is not cut is whole in the block where it
  // begins.
  __host__ __device__ void begin(const DecodeTask& a) {
    current = decode_sequence(a, sequence);
    const int into = local % current.cost;
    if (into != 0 && current.cost <= kWholeSteps) skip(a, current.cost - into);
  }

  __host__ __device__ bool next(const DecodeTask& a, DecodePart& part, DecodeSequence& s) {
    if (step >= end) return false;
    s = current;
    const int item = local / s.cost, into = local % s.cost, start = step - into;
    part.sequence = sequence;
    part.kv_head = item / s.tiles;
    part.tile = item % s.tiles;
    part.first_step = into;
    part.begins = into == 0;
    const bool whole = s.cost <= kWholeSteps;
    part.steps = s.cost - into < end - step || whole ? s.cost - into : end - step;
    part.first_block = start / share;
    part.last_block = whole ? part.first_block : (start + s.cost - 1) / share;
    skip(a, part.steps);
    return true;
  }
};

// No share is so small that merging would take longer than what it saves.
__host__ __device__ inline int decode_share(int steps, int blocks, int most_cost) {
  const int equal = (steps + blocks - 1) / blocks, least = most_cost < kWholeSteps ? most_cost : kWholeSteps;
  return equal > least ? equal : least;
}

}  // namespace zeta::cuda
