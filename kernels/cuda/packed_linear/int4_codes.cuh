// Eight 4-bit codes of a word as operands of mma_m16n8k16, and activations in the same order.
#pragma once

#include <type_traits>

#include "kernels/cuda/memory.cuh"
#include "kernels/cuda/mma.cuh"

namespace zeta::cuda {

// Two of the codes of a word, number i and i + 4, as 16-bit floats less their offset of 8. 128 + code and
// 1024 + code are bfloat16 and float16 whose last bits are the code.
template <typename T>
__device__ uint32_t code_pair(uint32_t word, int i) {
  constexpr bool kHalf = std::is_same_v<T, __half>;
  using Pair = std::conditional_t<kHalf, __half2, __nv_bfloat162>;
  uint32_t bits;
  asm("lop3.b32 %0, %1, 0x000f000f, %2, 0xea;"  // (word & mask) | one
      : "=r"(bits)
      : "r"(word >> (4 * i)), "n"(kHalf ? 0x64006400 : 0x43004300));
  const uint32_t offset = kHalf ? 0x64086408 : 0x43084308;  // 1024 + 8, 128 + 8
  const Pair pair = __hsub2(reinterpret_cast<const Pair&>(bits), reinterpret_cast<const Pair&>(offset));
  return reinterpret_cast<const uint32_t&>(pair);
}

// x's values in the order of code_pair's: eight in a row become (0, 4), (1, 5), (2, 6), (3, 7).
__device__ inline uint4 pair_values(uint4 v) {
  return {__byte_perm(v.x, v.z, 0x5410), __byte_perm(v.x, v.z, 0x7632), __byte_perm(v.y, v.w, 0x5410),
          __byte_perm(v.y, v.w, 0x7632)};
}

}  // namespace zeta::cuda
