// A group's scale as fp32. Static: files built for different instruction sets include it, and none may lend
// its machine code to another.
#pragma once

#include "kernels/cpu/packed_linear/int4.h"
#include "kernels/cpu/quantize/scale.h"

namespace zeta::cpu {

template <typename Args>
static inline float int4_scale_at(const Args& args, int64_t index) {
  return args.scale != nullptr ? args.scale[index]
                               : float_from_bits(static_cast<uint32_t>(args.scale_bfloat16[index]) << 16);
}

}  // namespace zeta::cpu
