#include <immintrin.h>

#include "kernels/cpu/quantize/quantize.h"
#include "kernels/cpu/quantize/scale.h"

namespace zeta::cpu::avx2 {
namespace {

constexpr int64_t kLanes = 8;

__m256 magnitude(__m256 value) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), value); }

// Magnitudes are ordered by their bits, which puts NaN above everything.
float abs_max(const float* x, int64_t n) {
  __m256i greatest = _mm256_setzero_si256();
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    greatest = _mm256_max_epi32(greatest, _mm256_castps_si256(magnitude(_mm256_loadu_ps(x + i))));
  }
  alignas(32) uint32_t lanes[kLanes];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), greatest);
  uint32_t bits = 0;
  for (const uint32_t lane : lanes) bits = lane > bits ? lane : bits;
  for (; i < n; ++i) bits = magnitude_bits(x[i]) > bits ? magnitude_bits(x[i]) : bits;
  return float_from_bits(bits);
}

// The conversion rounds half to even. max_ps returns its second operand for NaN, so NaN becomes low.
__m256i round_codes(__m256 value, __m256 low, __m256 high) {
  return _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(value, low), high));
}

// scaled(values) of n elements, clamped and rounded: 32 at a time, the rest through a padded block.
template <typename Scaled>
void write_codes(const float* x, int64_t n, float low, float high, int8_t* codes, Scaled scaled) {
  const __m256 lows = _mm256_set1_ps(low), highs = _mm256_set1_ps(high);
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  const auto block = [&](const float* from, int8_t* to) {
    __m256i part[4];
    for (int j = 0; j < 4; ++j)
      part[j] = round_codes(scaled(_mm256_loadu_ps(from + j * kLanes)), lows, highs);
    const __m256i halves =
        _mm256_packs_epi16(_mm256_packs_epi32(part[0], part[1]), _mm256_packs_epi32(part[2], part[3]));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_permutevar8x32_epi32(halves, order));
  };
  int64_t i = 0;
  for (; i + 32 <= n; i += 32) block(x + i, codes + i);
  if (i == n) return;
  float from[32] = {};
  int8_t to[32];
  for (int64_t j = i; j < n; ++j) from[j - i] = x[j];
  block(from, to);
  for (int64_t j = i; j < n; ++j) codes[j] = to[j - i];
}

int32_t sum_codes(const int8_t* codes, int64_t n) {
  __m256i sums = _mm256_setzero_si256();
  int64_t i = 0;
  for (; i + 32 <= n; i += 32) {
    const __m256i four = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes + i));
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), four);
    sums = _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
  alignas(32) int32_t lanes[kLanes];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), sums);
  int32_t sum = 0;
  for (const int32_t lane : lanes) sum += lane;
  for (; i < n; ++i) sum += codes[i];
  return sum;
}

// scaled(values) of n elements, clamped, rounded and times scale: 8 at a time, the rest through a padded
// vector.
template <typename Scaled>
void write_used(const float* w, int64_t n, float low, float high, float scale, float* out, Scaled scaled) {
  const __m256 lows = _mm256_set1_ps(low), highs = _mm256_set1_ps(high), scales = _mm256_set1_ps(scale);
  const auto vector = [&](__m256 values) {
    return _mm256_mul_ps(_mm256_cvtepi32_ps(round_codes(scaled(values), lows, highs)), scales);
  };
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) _mm256_storeu_ps(out + i, vector(_mm256_loadu_ps(w + i)));
  if (i == n) return;
  alignas(32) float rest[kLanes] = {};
  for (int64_t j = i; j < n; ++j) rest[j - i] = w[j];
  _mm256_store_ps(rest, vector(_mm256_load_ps(rest)));
  for (int64_t j = i; j < n; ++j) out[j] = rest[j - i];
}

}  // namespace

double abs_sum(const float* w, int64_t n) {
  __m256d even = _mm256_setzero_pd(), odd = _mm256_setzero_pd();
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const __m256 value = magnitude(_mm256_loadu_ps(w + i));
    even = _mm256_add_pd(even, _mm256_cvtps_pd(_mm256_castps256_ps128(value)));
    odd = _mm256_add_pd(odd, _mm256_cvtps_pd(_mm256_extractf128_ps(value, 1)));
  }
  alignas(32) double lanes[4];
  _mm256_store_pd(lanes, _mm256_add_pd(even, odd));
  double sum = (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
  for (; i < n; ++i) sum += static_cast<double>(float_from_bits(magnitude_bits(w[i])));
  return sum;
}

void quantize_ternary(const float* w, int64_t n, float inverse_scale, int8_t* codes) {
  const __m256 factor = _mm256_set1_ps(inverse_scale);
  write_codes(w, n, -1, 1, codes, [factor](__m256 value) { return _mm256_mul_ps(value, factor); });
}

void quantize_int4(const float* w, int64_t n, int64_t group_size, int8_t* codes, float* scales) {
  for (int64_t start = 0; start < n; start += group_size) {
    const float scale = int4_scale(abs_max(w + start, group_size));
    const __m256 divisor = _mm256_set1_ps(scale);
    write_codes(w + start, group_size, -8, 7, codes + start,
                [divisor](__m256 value) { return _mm256_div_ps(value, divisor); });
    *scales++ = scale;
  }
}

ActivationRow quantize_activation(const float* x, int64_t n, int8_t* codes) {
  ActivationRow row{activation_scale(abs_max(x, n)), 0};
  const __m256 factor = _mm256_set1_ps(row.scale);
  write_codes(x, n, -128, 127, codes, [factor](__m256 value) { return _mm256_mul_ps(value, factor); });
  row.sum = sum_codes(codes, n);
  return row;
}

void use_ternary(const float* w, int64_t n, float inverse_scale, float scale, float* out) {
  const __m256 factor = _mm256_set1_ps(inverse_scale);
  write_used(w, n, -1, 1, scale, out, [factor](__m256 value) { return _mm256_mul_ps(value, factor); });
}

void use_int4(const float* w, int64_t n, int64_t group_size, float* out) {
  for (int64_t start = 0; start < n; start += group_size) {
    const float scale = int4_scale(abs_max(w + start, group_size));
    const __m256 divisor = _mm256_set1_ps(scale);
    write_used(w + start, group_size, -8, 7, scale, out + start,
               [divisor](__m256 value) { return _mm256_div_ps(value, divisor); });
  }
}

void use_activation(const int8_t* codes, int64_t n, float scale, float* out) {
  const __m256 divisor = _mm256_set1_ps(scale);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const __m128i eight = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(codes + i));
    _mm256_storeu_ps(out + i, _mm256_div_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(eight)), divisor));
  }
  for (; i < n; ++i) out[i] = static_cast<float>(codes[i]) / scale;
}

void pack_ternary(const int8_t* codes, int64_t stride, int64_t n, uint8_t* packed) {
  const auto row = [&](int64_t i, int64_t at) {
    const __m256i code = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes + i * stride + at));
    return _mm256_add_epi8(code, _mm256_set1_epi8(1));
  };
  int64_t i = 0;
  for (; i + 32 <= n; i += 32) {
    const __m256i low = _mm256_or_si256(row(0, i), _mm256_slli_epi16(row(1, i), 2));
    const __m256i high = _mm256_or_si256(_mm256_slli_epi16(row(2, i), 4), _mm256_slli_epi16(row(3, i), 6));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(packed + i), _mm256_or_si256(low, high));
  }
  for (; i < n; ++i) {
    int byte = 0;
    for (int64_t j = 0; j < 4; ++j) byte |= (codes[j * stride + i] + 1) << 2 * j;
    packed[i] = static_cast<uint8_t>(byte);
  }
}

void pack_int4(const int8_t* codes, int64_t n, uint32_t* packed) {
  int64_t i = 0;
  for (; i + 32 <= n; i += 32) {
    const __m256i code = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes + i));
    const __m256i stored = _mm256_add_epi8(code, _mm256_set1_epi8(8));
    const __m256i pairs = _mm256_maddubs_epi16(stored, _mm256_set1_epi16(0x1001));  // low + 16 · high
    const __m256i bytes = _mm256_permute4x64_epi64(_mm256_packus_epi16(pairs, pairs), 0x08);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(packed + i / 8), _mm256_castsi256_si128(bytes));
  }
  for (; i < n; i += 8) {
    uint32_t word = 0;
    for (int64_t j = 0; j < 8; ++j) word |= static_cast<uint32_t>(codes[i + j] + 8) << 4 * j;
    packed[i / 8] = word;
  }
}

}  // namespace zeta::cpu::avx2
