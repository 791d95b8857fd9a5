#include <cmath>

#include "kernels/cpu/quantize/quantize.h"
#include "kernels/cpu/quantize/scale.h"

namespace zeta::cpu::scalar {
namespace {

// Ordering magnitudes by their bits puts NaN above everything, so that it is never lost.
float abs_max(const float* x, int64_t n) {
  uint32_t greatest = 0;
  for (int64_t i = 0; i < n; ++i) {
    const uint32_t bits = magnitude_bits(x[i]);
    greatest = bits > greatest ? bits : greatest;
  }
  return float_from_bits(greatest);
}

// Adding and removing 1.5 · 2²³ rounds to an integer, half to even, without a library call. NaN becomes low.
int8_t round_code(float value, float low, float high) {
  const float clamped = value > low ? (value < high ? value : high) : low;
  return static_cast<int8_t>((clamped + 0x1.8p23f) - 0x1.8p23f);
}

}  // namespace

double abs_sum(const float* w, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += std::fabs(w[i]);
  return sum;
}

void quantize_ternary(const float* w, int64_t n, float inverse_scale, int8_t* codes) {
  for (int64_t i = 0; i < n; ++i) codes[i] = round_code(w[i] * inverse_scale, -1, 1);
}

void quantize_int4(const float* w, int64_t n, int64_t group_size, int8_t* codes, float* scales) {
  for (int64_t start = 0; start < n; start += group_size) {
    const float scale = int4_scale(abs_max(w + start, group_size));
    for (int64_t i = start; i < start + group_size; ++i) codes[i] = round_code(w[i] / scale, -8, 7);
    *scales++ = scale;
  }
}

ActivationRow quantize_activation(const float* x, int64_t n, int8_t* codes) {
  ActivationRow row{activation_scale(abs_max(x, n)), 0};
  for (int64_t i = 0; i < n; ++i) {
    codes[i] = round_code(x[i] * row.scale, -128, 127);
    row.sum += codes[i];
  }
  return row;
}

void use_ternary(const float* w, int64_t n, float inverse_scale, float scale, float* out) {
  for (int64_t i = 0; i < n; ++i)
    out[i] = static_cast<float>(round_code(w[i] * inverse_scale, -1, 1)) * scale;
}

void use_int4(const float* w, int64_t n, int64_t group_size, float* out) {
  for (int64_t start = 0; start < n; start += group_size) {
    const float scale = int4_scale(abs_max(w + start, group_size));
    for (int64_t i = start; i < start + group_size; ++i)
      out[i] = static_cast<float>(round_code(w[i] / scale, -8, 7)) * scale;
  }
}

void use_activation(const int8_t* codes, int64_t n, float scale, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = static_cast<float>(codes[i]) / scale;
}

void pack_ternary(const int8_t* codes, int64_t stride, int64_t n, uint8_t* packed) {
  for (int64_t i = 0; i < n; ++i) {
    int byte = 0;
    for (int row = 0; row < 4; ++row) byte |= (codes[row * stride + i] + 1) << 2 * row;
    packed[i] = static_cast<uint8_t>(byte);
  }
}

void pack_int4(const int8_t* codes, int64_t n, uint32_t* packed) {
  for (int64_t i = 0; i < n; i += 8) {
    uint32_t word = 0;
    for (int64_t j = 0; j < 8; ++j) word |= static_cast<uint32_t>(codes[i + j] + 8) << 4 * j;
    packed[i / 8] = word;
  }
}

}  // namespace zeta::cpu::scalar
