// How a scale follows from a row's greatest magnitude. Every function here is static: files built for
// different instruction sets include it, and none may lend its machine code to another.
#pragma once

#include <cstdint>
#include <cstring>

namespace zeta::cpu {

static inline float float_from_bits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

static inline uint32_t magnitude_bits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits & 0x7fffffffu;
}

// Half to even; NaN stays NaN.
static inline float round_to_bfloat16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  if (magnitude_bits(value) > 0x7f800000u) return value;
  return float_from_bits((bits + 0x7fffu + (bits >> 16 & 1u)) & 0xffff0000u);
}

// A comparison with NaN is false, so NaN passes through both.
static inline float activation_scale(float abs_max) {
  return 127.0f * (1.0f / (abs_max < 1e-5f ? 1e-5f : abs_max));
}

static inline float int4_scale(float abs_max) {
  const float scale = abs_max / 7.5f;
  return round_to_bfloat16(scale < 0x1p-126f ? 0x1p-126f : scale);
}

}  // namespace zeta::cpu
