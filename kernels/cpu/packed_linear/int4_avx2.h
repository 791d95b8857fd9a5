// Shared by the two AVX2 files of int4: one row of activations, and many.
#pragma once

#include "kernels/cpu/packed_linear/int4.h"
#include "kernels/cpu/quantize/scale.h"

namespace zeta::cpu::avx2 {

// Columns [begin, end) of out for m = 1.
void int4_linear_vector(const Int4Linear& args, int64_t begin, int64_t end);

static inline float int4_scale_at(const Int4Linear& args, int64_t index) {
  return args.scale != nullptr ? args.scale[index]
                               : float_from_bits(static_cast<uint32_t>(args.scale_bfloat16[index]) << 16);
}

}  // namespace zeta::cpu::avx2
