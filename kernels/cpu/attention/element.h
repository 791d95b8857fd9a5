// The storage types of attention tensors and their scalar conversions. Included by files built for different
// instruction sets, so everything has internal linkage.
#pragma once

#include <bit>
#include <cstdint>

namespace zeta::cpu {
namespace {

struct BFloat16 {
  uint16_t bits;
};
using Half = _Float16;

inline float widen(BFloat16 x) { return std::bit_cast<float>(static_cast<uint32_t>(x.bits) << 16); }
inline float widen(Half x) { return static_cast<float>(x); }
inline float widen(float x) { return x; }
inline double widen(double x) { return x; }

template <class S>
struct Narrow {
  template <class T>
  static S from(T x) {
    return static_cast<S>(x);
  }
};

template <>
struct Narrow<BFloat16> {
  static BFloat16 from(float x) {  // half to even; a NaN stays one
    const uint32_t bits = std::bit_cast<uint32_t>(x);
    if (x != x) return {static_cast<uint16_t>((bits >> 16) | 0x40)};
    return {static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
  }
};

}  // namespace
}  // namespace zeta::cpu
