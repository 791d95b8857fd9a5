// A few rows of activations times 4-bit weights: memory's speed is the limit, so weights are decoded in
// registers, 128 columns of a row at a time, and activations are brought into the order of the decoded lanes.
//
// Arithmetic says how (int4_avx512.cc, int4_avx512_vnni.cc, int4_avx512_bf16.cc): Args, a Block of
// activations of a vector, arrange() to fill it, dot() with a vector of weights of several columns, and what
// finish() does to a row's output. Static, see int4_scale.h.
#pragma once

#include <immintrin.h>

#include "kernels/cpu/packed_linear/int4_scale.h"
#include "kernels/cpu/scratch.h"

namespace zeta::cpu {
namespace {

constexpr int64_t kInt4Few = 4;     // rows of activations
constexpr int64_t kInt4Words = 16;  // of a vector: 128 columns
// Words that are asked of memory ahead of use, 16 KiB, into the second cache: streams a row apart are more
// than the hardware follows by itself.
constexpr int64_t kInt4Ahead = 4096;

// Which of a row's words and scales a vector needs: the same for every row, so that no row divides.
struct Int4Vector {
  __m512i order;  // of the scales loaded, for each word
  int64_t first;  // scale
  __mmask16 scales, words;
};

template <typename Args>
void int4_vectors(const Args& args, Int4Vector* to) {
  const int64_t words = args.k / 8, span = args.group_size / 8;
  for (int64_t word = 0; word < words; word += kInt4Words, ++to) {
    const int64_t count = words - word < kInt4Words ? words - word : kInt4Words;
    alignas(64) int32_t order[kInt4Words] = {};
    to->first = word / span;
    for (int64_t i = 0, next = (to->first + 1) * span - word, scale = 0; i < count; ++i) {
      if (i == next) ++scale, next += span;
      order[i] = static_cast<int32_t>(scale);
    }
    to->order = _mm512_load_si512(order);
    to->scales = static_cast<__mmask16>((2u << order[count - 1]) - 1);
    to->words = static_cast<__mmask16>((1u << count) - 1);
  }
}

// Row n's scales as fp32, once for all its vectors.
template <typename Args>
const float* int4_row_scales(const Args& args, int64_t n, float* room) {
  const int64_t groups = args.k / args.group_size;
  if (args.scale != nullptr) return args.scale + n * groups;
  for (int64_t group = 0; group < groups; group += 16) {
    const auto present = static_cast<__mmask16>(groups - group < 16 ? (1u << (groups - group)) - 1 : 0xffffu);
    const __m256i half = _mm256_maskz_loadu_epi16(present, args.scale_bfloat16 + n * groups + group);
    _mm512_mask_storeu_epi32(room + group, present, _mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
  }
  return room;
}

// Uniform: groups are whole vectors.
template <bool Uniform>
__m512 int4_scales(const float* scales, const Int4Vector& vector) {
  if constexpr (Uniform) return _mm512_set1_ps(scales[vector.first]);
  return _mm512_permutexvar_ps(vector.order, _mm512_maskz_loadu_ps(vector.scales, scales + vector.first));
}

// Columns columns of the output, of Rows rows. Several columns share what is loaded of x, and are as many
// streams from memory.
template <typename Arithmetic, int Rows, int Columns, bool Uniform>
void int4_few_columns(const typename Arithmetic::Args& args, const typename Arithmetic::Block* x,
                      const Int4Vector* vectors, float* room, int64_t n) {
  const int64_t words = args.k / 8, groups = args.k / args.group_size;
  const int64_t count = (words + kInt4Words - 1) / kInt4Words;
  const uint32_t* packed = args.packed + n * words;
  const float* scales[Columns];
  for (int column = 0; column < Columns; ++column)
    scales[column] = int4_row_scales(args, n + column, room + column * groups);
  __m512 total[Rows][Columns];
  for (auto& row : total) {
    for (__m512& sum : row) sum = _mm512_setzero_ps();
  }
  for (int64_t i = 0; i < count; ++i) {
    __m512i codes[Columns];
#pragma GCC unroll 4
    for (int column = 0; column < Columns; ++column) {
      const uint32_t* from = packed + column * words + i * kInt4Words;
      _mm_prefetch(from + kInt4Ahead, _MM_HINT_T1);
      // NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): int4_vectors has filled all `count` of them
      codes[column] = _mm512_maskz_loadu_epi32(vectors[i].words, from);
    }
#pragma GCC unroll 4
    for (int row = 0; row < Rows; ++row) {
      __m512 sum[Columns];
      Arithmetic::dot(codes, x[row * count + i], sum);
#pragma GCC unroll 4
      for (int column = 0; column < Columns; ++column)
        total[row][column] = _mm512_fmadd_ps(sum[column], int4_scales<Uniform>(scales[column], vectors[i]),
                                             total[row][column]);
    }
  }
  for (int row = 0; row < Rows; ++row) {
    for (int column = 0; column < Columns; ++column) {
      const float y = Arithmetic::finish(args, row, _mm512_reduce_add_ps(total[row][column]));
      args.out[row * args.n + n + column] = args.bias == nullptr ? y : y + args.bias[n + column];
    }
  }
}

template <typename Arithmetic, int Rows, bool Uniform>
void int4_few_rows(const typename Arithmetic::Args& args, const typename Arithmetic::Block* x,
                   const Int4Vector* vectors, int64_t begin, int64_t end) {
  constexpr int kColumns = 4;
  const Scratch<float> room(kColumns * (args.k / args.group_size));
  int64_t n = begin;
  for (; n + kColumns <= end; n += kColumns)
    int4_few_columns<Arithmetic, Rows, kColumns, Uniform>(args, x, vectors, room.data, n);
  for (; n < end; ++n) int4_few_columns<Arithmetic, Rows, 1, Uniform>(args, x, vectors, room.data, n);
}

template <typename Arithmetic>
void int4_few(const typename Arithmetic::Args& args, int64_t begin, int64_t end) {
  const int64_t words = args.k / 8, count = (words + kInt4Words - 1) / kInt4Words;
  const Scratch<typename Arithmetic::Block> x(args.m * count);
  for (int64_t row = 0; row < args.m; ++row) {
    for (int64_t i = 0; i < count; ++i) {
      const int64_t word = i * kInt4Words, left = words - word < kInt4Words ? words - word : kInt4Words;
      Arithmetic::arrange(Arithmetic::x(args, row) + word * 8, left, x.data[row * count + i]);
    }
  }
  const Scratch<Int4Vector> vectors(count);
  int4_vectors(args, vectors.data);
  constexpr decltype(&int4_few_rows<Arithmetic, 1, true>) kRows[][kInt4Few] = {
      {int4_few_rows<Arithmetic, 1, false>, int4_few_rows<Arithmetic, 2, false>,
       int4_few_rows<Arithmetic, 3, false>, int4_few_rows<Arithmetic, 4, false>},
      {int4_few_rows<Arithmetic, 1, true>, int4_few_rows<Arithmetic, 2, true>,
       int4_few_rows<Arithmetic, 3, true>, int4_few_rows<Arithmetic, 4, true>}};
  kRows[args.group_size % (8 * kInt4Words) == 0][args.m - 1](args, x.data, vectors.data, begin, end);
}

// A dot for arithmetic that decodes a column, or two, of every word at a step, and begins at block.offset.
template <typename Arithmetic, int Columns, typename Block>
void int4_dot_in_steps(const __m512i (&codes)[Columns], const Block& block, __m512 (&sum)[Columns]) {
#pragma GCC unroll 4
  for (__m512& start : sum) start = _mm512_load_ps(block.offset);
#pragma GCC unroll 8
  for (int step = 0; step < Arithmetic::kSteps; ++step) {
    const __m512i activations = _mm512_load_si512(block.x[step]);
#pragma GCC unroll 4
    for (int column = 0; column < Columns; ++column)
      Arithmetic::add(sum[column], Arithmetic::decode_in_place(codes[column], step), activations);
  }
}

}  // namespace
}  // namespace zeta::cpu
