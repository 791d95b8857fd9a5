// A few rows of activations times 4-bit weights: memory's speed is the limit, so weights are decoded in
// registers, 128 columns of a row at a time, and activations are brought into the order of the decoded lanes.
//
// Arithmetic says how (int4_avx512.cc, int4_avx512_bf16.cc). Static, see int4_scale.h.
#pragma once

#include <immintrin.h>

#include "kernels/cpu/packed_linear/int4_scale.h"
#include "kernels/cpu/packed_linear/scratch.h"

namespace zeta::cpu {
namespace {

constexpr int64_t kInt4Few = 4;     // rows of activations
constexpr int64_t kInt4Words = 16;  // of a vector: 128 columns

// The scales of a vector's words, from the scales of a row.
class Int4ScaleLanes {
 public:
  explicit Int4ScaleLanes(const Int4Linear& args) : args_(args), words_(args.k / 8), span_(args.group_size / 8) {
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    if (kInt4Words % span_ == 0)
      order_ = _mm512_srl_epi32(lane, _mm_cvtsi32_si128(__builtin_ctz(static_cast<unsigned>(span_))));
  }

  // Of the 16 words from `word` on; 0 past the row.
  __m512 at(int64_t row_start, int64_t word) const {
    if (span_ % kInt4Words == 0) return _mm512_set1_ps(int4_scale_at(args_, row_start + word / span_));
    if (kInt4Words % span_ == 0) {
      const int64_t first = word / span_, left = words_ / span_ - first, all = kInt4Words / span_;
      const auto present = static_cast<__mmask16>((1u << (left < all ? left : all)) - 1);
      return _mm512_permutexvar_ps(order_, load(row_start + first, present));
    }
    alignas(64) float lanes[kInt4Words] = {};
    for (int64_t i = 0; i < kInt4Words && word + i < words_; ++i)
      lanes[i] = int4_scale_at(args_, row_start + (word + i) / span_);
    return _mm512_load_ps(lanes);
  }

 private:
  __m512 load(int64_t index, __mmask16 present) const {
    if (args_.scale != nullptr) return _mm512_maskz_loadu_ps(present, args_.scale + index);
    const __m256i half = _mm256_maskz_loadu_epi16(present, args_.scale_bfloat16 + index);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
  }

  const Int4Linear& args_;
  int64_t words_, span_;  // of a row; of a group
  __m512i order_ = _mm512_setzero_si512();
};

template <typename Arithmetic, int Rows>
void int4_few_columns(const Int4Linear& args, const typename Arithmetic::Element* x, int64_t begin, int64_t end) {
  constexpr int64_t kBlock = 8 * kInt4Words;
  const int64_t words = args.k / 8, groups = args.k / args.group_size;
  const int64_t stride = (words + kInt4Words - 1) / kInt4Words * kBlock;
  const Int4ScaleLanes scales(args);
  for (int64_t n = begin; n < end; ++n) {
    const uint32_t* packed = args.packed + n * words;
    __m512 total[Rows];
    for (__m512& sum : total) sum = _mm512_setzero_ps();
    for (int64_t word = 0; word < words; word += kInt4Words) {
      const int64_t left = words - word;
      const auto present = static_cast<__mmask16>(left < kInt4Words ? (1u << left) - 1 : 0xffffu);
      __m512i weights[Arithmetic::kSteps];
      Arithmetic::decode(_mm512_maskz_loadu_epi32(present, packed + word), weights);
      const __m512 scale = scales.at(n * groups, word);
#pragma GCC unroll 4
      for (int row = 0; row < Rows; ++row) {
        const auto* from = x + row * stride + word * 8;
        __m512 sum = _mm512_setzero_ps();
#pragma GCC unroll 8
        for (int step = 0; step < Arithmetic::kSteps; ++step) {
          Arithmetic::add(sum, weights[step], _mm512_load_si512(from + step * (kBlock / Arithmetic::kSteps)));
        }
        total[row] = _mm512_fmadd_ps(sum, scale, total[row]);
      }
    }
    for (int row = 0; row < Rows; ++row) {
      const float y = _mm512_reduce_add_ps(total[row]);
      args.out[row * args.n + n] = args.bias == nullptr ? y : y + args.bias[n];
    }
  }
}

template <typename Arithmetic>
void int4_few(const Int4Linear& args, int64_t begin, int64_t end) {
  using Element = typename Arithmetic::Element;
  constexpr int64_t kBlock = 8 * kInt4Words;
  const int64_t stride = (args.k + kBlock - 1) / kBlock * kBlock;
  const Scratch<Element> arranged(args.m * stride);
  for (int64_t m = 0; m < args.m; ++m) {
    Element* to = arranged.data + m * stride;
    for (int64_t k = args.k; k < stride; ++k) to[Arithmetic::place(k)] = 0;
    for (int64_t k = 0; k < args.k; ++k) to[Arithmetic::place(k)] = Arithmetic::x(args)[m * args.k + k];
  }
  constexpr decltype(&int4_few_columns<Arithmetic, 1>) kColumns[] = {
      int4_few_columns<Arithmetic, 1>, int4_few_columns<Arithmetic, 2>, int4_few_columns<Arithmetic, 3>,
      int4_few_columns<Arithmetic, 4>};
  kColumns[args.m - 1](args, arranged.data, begin, end);
}

}  // namespace
}  // namespace zeta::cpu
