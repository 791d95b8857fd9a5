// Many rows of int8 activations times 4-bit weights: what int4_linear does where there are more than a few.
#pragma once

#include "kernels/cpu/packed_linear/int4.h"

namespace zeta::cpu::avx512_vnni {

// m ≥ 1; columns [begin, end) of out.
void int4_int8_tiles(const Int4Int8Linear& args, int64_t begin, int64_t end);

}  // namespace zeta::cpu::avx512_vnni
