// One row of activations times 4-bit weights, without shifting nibbles into place.
//
// A vector of eight words holds 64 weights. Masked where it stands, nibble j < 7 of a word is code · 16ʲ,
// which fp32 holds exactly; so the activations that meet it are stored divided by 16ʲ, in the order in which
// the lanes need them, and the +8 of every code is taken back by starting each block at −8 · Σx.
#include <immintrin.h>

#include "kernels/cpu/packed_linear/int4_scale.h"

namespace zeta::cpu::avx2 {
namespace {

constexpr int64_t kWords = 8;

// Activations of 64 columns; lane i belongs to word i.
struct alignas(32) Block {
  float x[8][kWords];    // x[j][i] belongs to column 8 i + j
  float offset[kWords];  // −8 · Σx over the word
};

// Of its own type, not std::vector: this file's instructions must not end up in a shared template.
template <typename T>
struct Buffer {
  explicit Buffer(int64_t count) : data(new T[static_cast<size_t>(count)]()) {}
  ~Buffer() { delete[] data; }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  T* const data;
};

void arrange(const float* x, int64_t words, Block* blocks) {
  for (int64_t word = 0; word < words; ++word) {
    Block& block = blocks[word / kWords];
    const int64_t lane = word % kWords;
    float sum = 0, scale = 1;
    for (int64_t j = 0; j < 8; ++j, scale /= 16) {
      block.x[j][lane] = x[word * 8 + j] * (j < 7 ? scale : 1);
      sum += x[word * 8 + j];
    }
    block.offset[lane] = -8 * sum;
  }
}

// 64 weights times their activations, added to even + odd.
struct Sums {
  __m256 even = _mm256_setzero_ps(), odd = _mm256_setzero_ps();

  void add(__m256i words, const Block& block) {
    const __m256i mask = _mm256_set1_epi32(15);
    const auto nibble = [&](__m256i codes, int j, __m256 sum) {
      return _mm256_fmadd_ps(_mm256_cvtepi32_ps(codes), _mm256_load_ps(block.x[j]), sum);
    };
    even = _mm256_add_ps(even, _mm256_load_ps(block.offset));
    even = nibble(_mm256_and_si256(words, mask), 0, even);
    odd = nibble(_mm256_and_si256(words, _mm256_slli_epi32(mask, 4)), 1, odd);
    even = nibble(_mm256_and_si256(words, _mm256_slli_epi32(mask, 8)), 2, even);
    odd = nibble(_mm256_and_si256(words, _mm256_slli_epi32(mask, 12)), 3, odd);
    even = nibble(_mm256_and_si256(words, _mm256_slli_epi32(mask, 16)), 4, even);
    odd = nibble(_mm256_and_si256(words, _mm256_slli_epi32(mask, 20)), 5, odd);
    even = nibble(_mm256_and_si256(words, _mm256_slli_epi32(mask, 24)), 6, even);
    odd = nibble(_mm256_srli_epi32(words, 28), 7, odd);  // in place it would be the sign
  }
  __m256 total() const { return _mm256_add_ps(even, odd); }
};

__m256i load_words(const uint32_t* from) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}

float sum_lanes(__m256 value) {
  const __m128 halves = _mm_add_ps(_mm256_castps256_ps128(value), _mm256_extractf128_ps(value, 1));
  const __m128 pairs = _mm_add_ps(halves, _mm_movehl_ps(halves, halves));
  return _mm_cvtss_f32(_mm_add_ss(pairs, _mm_movehdup_ps(pairs)));
}

// Row n where groups are whole blocks: one multiplication by the scale a group.
float dot_groups(const Int4Linear& args, int64_t n, const Block* blocks) {
  const int64_t groups = args.k / args.group_size, blocks_per_group = args.group_size / 64;
  const uint32_t* packed = args.packed + n * (args.k / 8);
  __m256 total = _mm256_setzero_ps();
  for (int64_t group = 0; group < groups; ++group) {
    Sums sums;
    for (int64_t i = 0; i < blocks_per_group; ++i, packed += kWords) sums.add(load_words(packed), *blocks++);
    total = _mm256_fmadd_ps(sums.total(), _mm256_set1_ps(int4_scale_at(args, n * groups + group)), total);
  }
  return sum_lanes(total);
}

// Row n of any groups, with room for a scale for every word.
float dot_words(const Int4Linear& args, int64_t n, const Block* blocks, float* scales) {
  const int64_t words = args.k / 8, words_per_group = args.group_size / 8;
  int64_t group = n * (words / words_per_group);
  for (int64_t start = 0; start < words; start += words_per_group, ++group) {
    const float scale = int4_scale_at(args, group);
    for (int64_t i = 0; i < words_per_group; ++i) scales[start + i] = scale;
  }
  const uint32_t* packed = args.packed + n * words;
  __m256 total = _mm256_setzero_ps();
  int64_t word = 0;
  for (; word + kWords <= words; word += kWords) {
    Sums sums;
    sums.add(load_words(packed + word), *blocks++);
    total = _mm256_fmadd_ps(sums.total(), _mm256_loadu_ps(scales + word), total);
  }
  if (word < words) {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i present = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(words - word)), lanes);
    Sums sums;
    sums.add(_mm256_maskload_epi32(reinterpret_cast<const int*>(packed + word), present), *blocks);
    total = _mm256_fmadd_ps(sums.total(), _mm256_maskload_ps(scales + word, present), total);
  }
  return sum_lanes(total);
}

}  // namespace

void int4_linear_vector(const Int4Linear& args, int64_t begin, int64_t end) {
  const int64_t words = args.k / 8;
  Buffer<Block> blocks((words + kWords - 1) / kWords);
  Buffer<float> scales(words);
  arrange(args.x, words, blocks.data);
  for (int64_t n = begin; n < end; ++n) {
    const float y = args.group_size % 64 == 0 ? dot_groups(args, n, blocks.data)
                                              : dot_words(args, n, blocks.data, scales.data);
    args.out[n] = args.bias == nullptr ? y : y + args.bias[n];
  }
}

}  // namespace zeta::cpu::avx2
