// Codes as they are stored, and as numbers.
#pragma once

#include <cstdint>

namespace zeta::cuda {

// Eight small whole numbers. Beside 1.5 · 2²³ a float has no room for fractions: adding it rounds half to
// even, and leaves the number in the low bits. (Conversion instructions run at a quarter of the speed.)
class EightCodes {
 public:
  // |v| < 2²².
  __device__ void set(int i, float v) { shifted_[i] = __fadd_rn(v, kShift); }
  __device__ float value(int i) const { return __fadd_rn(shifted_[i], -kShift); }
  __device__ uint2 bytes() const { return {four(0), four(4)}; }

 private:
  static constexpr float kShift = 12582912.0f;
  __device__ uint32_t four(int i) const {
    const uint32_t low = __byte_perm(__float_as_uint(shifted_[i]), __float_as_uint(shifted_[i + 1]), 0x0040);
    const uint32_t high =
        __byte_perm(__float_as_uint(shifted_[i + 2]), __float_as_uint(shifted_[i + 3]), 0x0040);
    return __byte_perm(low, high, 0x5410);
  }
  float shifted_[8];
};

}  // namespace zeta::cuda
