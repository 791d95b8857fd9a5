// 4-bit weights times int8 activations: 64 weights of eight words at a time, codes masked to bytes, columns
// of even and of odd place apart, as the activations are laid.
#include <immintrin.h>

#include "kernels/cpu/packed_linear/int4_scale.h"
#include "kernels/cpu/scratch.h"

namespace zeta::cpu::avx2 {
namespace {

constexpr int64_t kWords = 8;

// Activations of 64 columns; dword i belongs to word i.
struct alignas(32) Block {
  int8_t even[32], odd[32];
  int32_t offset[kWords];  // −8 · Σq over the word: codes are stored 8 too great
};

void arrange(const int8_t* q, int64_t words, Block* blocks) {
  for (int64_t word = 0; word < words; ++word, q += 8) {
    Block& block = blocks[word / kWords];
    const int64_t lane = word % kWords;
    if (lane == 0) block = {};
    int32_t sum = 0;
    for (int64_t j = 0; j < 4; ++j) {
      block.even[lane * 4 + j] = q[2 * j];
      block.odd[lane * 4 + j] = q[2 * j + 1];
      sum += q[2 * j] + q[2 * j + 1];
    }
    block.offset[lane] = -8 * sum;
  }
}

__m256i load(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }

// Σ of each word's products. Four products of an int16 lane are at most 4 · 15 · 128.
__m256i dot(__m256i words, const Block& block) {
  const __m256i low = _mm256_set1_epi8(15);
  const __m256i even = _mm256_maddubs_epi16(_mm256_and_si256(words, low), load(block.even));
  const __m256i odd =
      _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(words, 4), low), load(block.odd));
  const __m256i sums = _mm256_madd_epi16(_mm256_add_epi16(even, odd), _mm256_set1_epi16(1));
  return _mm256_add_epi32(sums, load(block.offset));
}

float sum_lanes(__m256 value) {
  const __m128 halves = _mm_add_ps(_mm256_castps256_ps128(value), _mm256_extractf128_ps(value, 1));
  const __m128 pairs = _mm_add_ps(halves, _mm_movehl_ps(halves, halves));
  return _mm_cvtss_f32(_mm_add_ss(pairs, _mm_movehdup_ps(pairs)));
}

// Row n where groups are whole blocks.
float dot_groups(const Int4Int8Linear& args, int64_t n, const Block* blocks) {
  const int64_t groups = args.k / args.group_size, blocks_per_group = args.group_size / 64;
  const uint32_t* packed = args.packed + n * (args.k / 8);
  __m256 total = _mm256_setzero_ps();
  for (int64_t group = 0; group < groups; ++group) {
    __m256i sum = _mm256_setzero_si256();
    for (int64_t i = 0; i < blocks_per_group; ++i, packed += kWords)
      sum = _mm256_add_epi32(sum, dot(load(packed), *blocks++));
    const __m256 scale = _mm256_set1_ps(int4_scale_at(args, n * groups + group));
    total = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), scale, total);
  }
  return sum_lanes(total);
}

// Row n of any groups, with a scale for every word.
float dot_words(const Int4Int8Linear& args, int64_t n, const Block* blocks, const float* scales) {
  const int64_t words = args.k / 8;
  const uint32_t* packed = args.packed + n * words;
  __m256 total = _mm256_setzero_ps();
  for (int64_t word = 0; word < words; word += kWords) {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const int64_t left = words - word < kWords ? words - word : kWords;
    const __m256i present = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(left)), lanes);
    const __m256i codes = _mm256_maskload_epi32(reinterpret_cast<const int*>(packed + word), present);
    const __m256 sum = _mm256_cvtepi32_ps(dot(codes, *blocks++));
    total = _mm256_fmadd_ps(sum, _mm256_maskload_ps(scales + word, present), total);
  }
  return sum_lanes(total);
}

}  // namespace

void int4_linear(const Int4Int8Linear& args, int64_t begin, int64_t end) {
  if (args.m == 0) return;
  const int64_t words = args.k / 8, count = (words + kWords - 1) / kWords, span = args.group_size / 8;
  const Scratch<Block> blocks(args.m * count);
  const Scratch<float> scales(words);
  for (int64_t m = 0; m < args.m; ++m) arrange(args.q + m * args.q_stride, words, blocks.data + m * count);
  const bool whole = args.group_size % 64 == 0;
  for (int64_t n = begin; n < end; ++n) {
    for (int64_t word = 0; word < words && !whole; ++word)
      scales.data[word] = int4_scale_at(args, n * (words / span) + word / span);
    for (int64_t m = 0; m < args.m; ++m) {
      const Block* x = blocks.data + m * count;
      const float sum = whole ? dot_groups(args, n, x) : dot_words(args, n, x, scales.data);
      const float y = sum * args.row_scale[m];
      args.out[m * args.n + n] = args.bias == nullptr ? y : y + args.bias[n];
    }
  }
}

}  // namespace zeta::cpu::avx2
