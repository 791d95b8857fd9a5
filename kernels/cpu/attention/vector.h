// The small vector type that the attention kernels are written in. Each instruction set has one; this is the
// scalar. max(a, b) gives b where either is NaN, exp2 gives exactly 0 at -inf and NaN at NaN, tanh errs by a
// few units of the last place of 1.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/cpu/attention/element.h"

namespace zeta::cpu {
namespace {

template <class T>
struct ScalarVector {
  using value_type = T;
  static constexpr int64_t kWidth = 1;
  T v;

  template <class S>
  static ScalarVector load(const S* p) {
    return {static_cast<T>(widen(*p))};
  }
  static ScalarVector broadcast(T x) { return {x}; }
  void store(T* p) const { *p = v; }
  T sum() const { return v; }

  friend ScalarVector operator+(ScalarVector a, ScalarVector b) { return {a.v + b.v}; }
  friend ScalarVector operator-(ScalarVector a, ScalarVector b) { return {a.v - b.v}; }
  friend ScalarVector operator*(ScalarVector a, ScalarVector b) { return {a.v * b.v}; }
  friend ScalarVector multiply_add(ScalarVector a, ScalarVector b, ScalarVector c) {
    return {a.v * b.v + c.v};
  }
  friend ScalarVector max(ScalarVector a, ScalarVector b) { return {a.v > b.v ? a.v : b.v}; }
  friend ScalarVector exp2(ScalarVector a) { return {std::exp2(a.v)}; }
  friend ScalarVector tanh(ScalarVector a) { return {std::tanh(a.v)}; }
};

}  // namespace
}  // namespace zeta::cpu
