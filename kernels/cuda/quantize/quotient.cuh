// Division of many numbers by one, rounded as `/` rounds, in three instructions each.
#pragma once

#include <cstdint>

namespace zeta::cuda {

// Markstein's: with y = 1/b correctly rounded, q = a·y and r = a − b·q exactly, q + r·y is a/b correctly
// rounded as long as nothing underflows or overflows. So that nothing does, extreme numbers take the long
// way: a below 2⁻⁶⁰ times b may, as the quotient's error is then far below what any code or dtype of ours
// shows.
class Quotient {
 public:
  // greatest: of the dividends' magnitudes.
  __device__ Quotient(float divisor, float greatest)
      : divisor_(divisor),
        inverse_(1.0f / divisor),
        plain_(!(divisor > 0x1p-60f && divisor < 0x1p60f && greatest < 0x1p60f)) {}  // true for NaN
  template <int kCount>
  __device__ void divide(float (&v)[kCount]) const {
    if (plain_) {
#pragma unroll
      for (float& a : v) a = __fdiv_rn(a, divisor_);
    } else {
#pragma unroll
      for (float& a : v) {
        const float q = __fmul_rn(a, inverse_);
        a = __fmaf_rn(__fmaf_rn(-q, divisor_, a), inverse_, q);
      }
    }
  }

 private:
  float divisor_, inverse_;
  bool plain_;
};

}  // namespace zeta::cuda
