// Division by one number of many, rounded as `/` rounds, in three instructions each.
#pragma once

#include <cstdint>

namespace zeta::cuda {

// Markstein's: with y = 1/b correctly rounded, q = a·y and r = a − b·q exactly, q + r·y is a/b correctly
// rounded as long as nothing underflows. So that nothing does, extreme divisors and dividends take the long
// way.
class Quotient {
 public:
  __device__ explicit Quotient(float divisor)
      : divisor_(divisor),
        inverse_(1.0f / divisor),
        plain_(!(divisor > 0x1p-60f && divisor < 0x1p60f)) {}  // true for NaN
  __device__ float of(float a) const {
    if (plain_ || !(fabsf(a) < 0x1p60f)) return __fdiv_rn(a, divisor_);
    const float q = __fmul_rn(a, inverse_);
    return __fmaf_rn(__fmaf_rn(-q, divisor_, a), inverse_, q);
  }

 private:
  float divisor_, inverse_;
  bool plain_;
};

}  // namespace zeta::cuda
