// The products of attention from pairs of bfloat16: probabilities and their gradients are rounded to it on
// the way, sums are fp32.
#pragma once

#include "kernels/cpu/attention/backward.h"
#include "kernels/cpu/attention/forward.h"
#include "kernels/cpu/attention/matmul_bf16.h"

namespace zeta::cpu {
namespace {

// Columns beyond the block's rows, up to a whole vector, are 0.
inline void load_pairs_transposed(const AttentionShape& s, const AttentionTensor& t, const RowBlock& rows,
                                  int64_t dim, BFloat16* target) {
  for (int64_t r = 0; r < rows.count; ++r)
    scatter_pairs(row_data<const BFloat16>(t, rows.batch, row_at(s, rows, r)), dim, r, target);
  for (int64_t r = rows.count; r % kMaxWidth != 0; ++r)
    for (int64_t p = 0; p < half(dim); ++p)
      target[2 * (p * kRowStride + r)] = target[2 * (p * kRowStride + r) + 1] = BFloat16{0};
}

inline void load_keys_narrow(const AttentionInputs& in, const AttentionTensor& t, const RowBlock& rows,
                             KeyBlock keys, int64_t dim, BFloat16* target) {
  while (keys.count > 0) {
    const KeyRun<BFloat16> run = key_run<BFloat16>(in, t, rows.batch, rows.kv_head, keys);
    for (int64_t k = 0; k < run.count; ++k, target += padded_narrow(dim))
      copy_narrow(run.data + k * t.seq_stride, dim, target);
    keys = {keys.first + run.count, keys.count - run.count};
  }
}

struct PairForward {
  using Vector = Avx512Vector;
  using Element = BFloat16;

  struct Scratch : ForwardState<float> {
    Scratch(const AttentionShape& s, ScratchCursor cursor)
        : ForwardState<float>(s, cursor),
          queries(cursor.take<BFloat16>(2 * half(s.head_dim) * kRowStride)),
          keys(cursor.take<BFloat16>(kBlockKeys * padded_narrow(std::max(s.head_dim, s.value_dim)))),
          values(cursor.take<BFloat16>(kBlockKeys * padded(s.value_dim))),
          probabilities(cursor.take<BFloat16>(kBlockKeys * kRowStride)),
          size(cursor.used()) {}
    Scratch from(const AttentionShape& s, int64_t row) const {
      Scratch w = *this;
      w.skip_rows(s, row);
      w.queries += 2 * row;
      return w;
    }

    BFloat16* queries;        // [head_dim / 2][2 · row]
    BFloat16* keys;           // [key][padded_narrow(head_dim)], then values likewise
    BFloat16* values;         // [key / 2][2 · padded(value_dim)]
    BFloat16* probabilities;  // [key / 2][2 · row]
    size_t size;
  };

  static void load_queries(const AttentionInputs& in, const RowBlock& rows, const Scratch& w) {
    load_pairs_transposed(in.shape, in.q, rows, in.shape.head_dim, w.queries);
  }
  static void multiply_keys(const AttentionInputs& in, const RowBlock& rows, KeyBlock keys,
                            const Scratch& w) {
    const int64_t dim = in.shape.head_dim;
    load_keys_narrow(in, in.k, rows, keys, dim, w.keys);
    multiply_score_pairs(Staircase(in, rows, keys), {w.keys, padded_narrow(dim), 2},
                         {w.queries, 2 * kRowStride}, {w.scores, kRowStride}, keys.count,
                         round_up(rows.count, kMaxWidth), half(dim), query_scale<float>(in));
  }
  static void add_values(const AttentionInputs& in, const RowBlock& rows, KeyBlock keys, const Scratch& w) {
    const int64_t dim = in.shape.value_dim;
    load_keys_narrow(in, in.v, rows, keys, dim, w.keys);
    pair_rows(w.keys, padded_narrow(dim), keys.count, dim, 2 * padded(dim), w.values);
    pair_scores(w.scores, keys.count, round_up(rows.count, kMaxWidth), w.probabilities);
    add_pairs_over_keys(Staircase(in, rows, keys), {w.probabilities, 2, 2 * kRowStride},
                        {w.values, 2 * padded(dim)}, {w.out, padded(dim)}, rows.count,
                        round_up(dim, kMaxWidth));
  }
};

struct PairBackward {
  using Vector = Avx512Vector;
  using Element = BFloat16;

  struct Scratch : BackwardState<float> {
    Scratch(const AttentionShape& s, ScratchCursor cursor)
        : BackwardState<float>(s, cursor),
          queries(cursor.take<BFloat16>(kRowStride * padded(s.head_dim))),
          queries_transposed(cursor.take<BFloat16>(2 * half(s.head_dim) * kRowStride)),
          grad_out(cursor.take<BFloat16>(kRowStride * padded(s.value_dim))),
          grad_out_transposed(cursor.take<BFloat16>(2 * half(s.value_dim) * kRowStride)),
          keys(cursor.take<BFloat16>(kBlockKeys * padded_narrow(s.head_dim))),
          key_pairs(cursor.take<BFloat16>(kBlockKeys * padded(s.head_dim))),
          values(cursor.take<BFloat16>(kBlockKeys * padded_narrow(s.value_dim))),
          narrow(cursor.take<BFloat16>(kBlockKeys * kRowStride)),
          pairs(cursor.take<BFloat16>(kBlockKeys * kRowStride)),
          size(cursor.used()) {}
    Scratch from(const AttentionShape& s, int64_t row) const {
      Scratch w = *this;
      w.skip_rows(s, row);
      w.queries += row * padded(s.head_dim);
      w.grad_out += row * padded(s.value_dim);
      w.queries_transposed += 2 * row;
      w.grad_out_transposed += 2 * row;
      return w;
    }

    BFloat16* queries;              // [row / 2][2 · padded(head_dim)]
    BFloat16* queries_transposed;   // [head_dim / 2][2 · row]
    BFloat16* grad_out;             // [row / 2][2 · padded(value_dim)]
    BFloat16* grad_out_transposed;  // [value_dim / 2][2 · row]
    BFloat16* keys;                 // [key][padded_narrow(head_dim)]
    BFloat16* key_pairs;            // [key / 2][2 · padded(head_dim)]
    BFloat16* values;               // [key][padded_narrow(value_dim)]
    BFloat16* narrow;               // [key][row]: probabilities, then grad_scores
    BFloat16* pairs;                // [key / 2][2 · row]: grad_scores
    size_t size;
  };

  static void load_pairs(const AttentionShape& s, const AttentionTensor& t, const RowBlock& rows, int64_t dim,
                         BFloat16* target) {
    BFloat16 both[2][2 * kMaxWidth * 9];
    for (int64_t r = 0; r < rows.count; r += 2) {
      for (int64_t i = r; i < std::min(r + 2, rows.count); ++i)
        copy_narrow(row_data<const BFloat16>(t, rows.batch, row_at(s, rows, i)), dim, both[i - r]);
      interleave(both[0], r + 1 < rows.count ? both[1] : nullptr, round_up(dim, kMaxWidth),
                 target + r * padded(dim));
    }
  }

  static void load_rows(const AttentionBackward& args, const RowBlock& rows, const Scratch& w) {
    const AttentionInputs& in = args.inputs;
    const AttentionShape& s = in.shape;
    load_pairs(s, in.q, rows, s.head_dim, w.queries);
    load_pairs(s, args.grad_out, rows, s.value_dim, w.grad_out);
    load_pairs_transposed(s, in.q, rows, s.head_dim, w.queries_transposed);
    load_pairs_transposed(s, args.grad_out, rows, s.value_dim, w.grad_out_transposed);
  }
  static void multiply_keys_and_values(const AttentionInputs& in, const RowBlock& rows, KeyBlock keys,
                                       const Scratch& w) {
    const AttentionShape& s = in.shape;
    const int64_t lanes = round_up(rows.count, kMaxWidth);
    load_keys_narrow(in, in.k, rows, keys, s.head_dim, w.keys);
    load_keys_narrow(in, in.v, rows, keys, s.value_dim, w.values);
    const Staircase stair(in, rows, keys);
    multiply_score_pairs(stair, {w.keys, padded_narrow(s.head_dim), 2},
                         {w.queries_transposed, 2 * kRowStride}, {w.scores, kRowStride}, keys.count, lanes,
                         half(s.head_dim), query_scale<float>(in));
    multiply_score_pairs(stair, {w.values, padded_narrow(s.value_dim), 2},
                         {w.grad_out_transposed, 2 * kRowStride}, {w.grad_scores, kRowStride}, keys.count,
                         lanes, half(s.value_dim), 1);
  }
  static void add_gradients(const AttentionInputs& in, const RowBlock& rows, KeyBlock keys,
                            KeyGradients<float> grads, const Scratch& w) {
    const AttentionShape& s = in.shape;
    const Staircase stair(in, rows, keys);
    const int64_t lanes = round_up(rows.count, kMaxWidth), key_columns = round_up(s.head_dim, kMaxWidth);
    narrow_scores(w.scores, keys.count, rows.count, lanes, w.narrow);
    add_pairs_over_rows(stair, {w.narrow, kRowStride, 2}, {w.grad_out, 2 * padded(s.value_dim)},
                        {grads.value(keys.first), grads.row_stride}, keys.count,
                        round_up(s.value_dim, kMaxWidth), rows.count);
    narrow_scores(w.grad_scores, keys.count, rows.count, lanes, w.narrow);
    add_pairs_over_rows(stair, {w.narrow, kRowStride, 2}, {w.queries, 2 * padded(s.head_dim)},
                        {grads.key(keys.first), grads.row_stride}, keys.count, key_columns, rows.count);
    pair_rows(w.keys, padded_narrow(s.head_dim), keys.count, s.head_dim, 2 * padded(s.head_dim), w.key_pairs);
    pair_scores(w.grad_scores, keys.count, lanes, w.pairs);
    add_pairs_over_keys(stair, {w.pairs, 2, 2 * kRowStride}, {w.key_pairs, 2 * padded(s.head_dim)},
                        {w.grad_q, padded(s.head_dim)}, rows.count, key_columns);
  }
};

}  // namespace
}  // namespace zeta::cpu
