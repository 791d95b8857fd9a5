// Scales of int4 groups on their way through shared memory, with the weights that they belong to.
#pragma once

#include <type_traits>

#include "kernels/cuda/memory.cuh"
#include "kernels/cuda/numbers.cuh"

namespace zeta::cuda {

// The scales of a warp's rows. k is cut into parts, of which a group has a whole number. S is float or
// __nv_bfloat16; of the latter the aligned 4 bytes around a scale are copied, so that scales must start at 4
// bytes and be an even number in all.
template <typename S>
struct GroupScales {
  const S* first;      // of row 0
  uint32_t groups;     // of a row
  uint32_t per_group;  // reciprocal of the number of parts of a group

  __device__ uint32_t index(int row, uint32_t part) const {
    return row * groups + (per_group == 0 ? part : __umulhi(part, per_group));
  }
  // By a warp: rows of kCount parts from `part` on, for kRows rows. Zero beyond the last part.
  template <int kRows, int kCount>
  __device__ void copy(uint32_t* to, uint32_t part, uint32_t parts, int lane) const {
#pragma unroll
    for (int i = lane; i < kRows * kCount; i += 32) {
      const uint32_t own = part + i % kCount;
      const auto address = reinterpret_cast<uintptr_t>(first + index(i / kCount, own)) & ~uintptr_t{3};
      copy_4_async(to + i, reinterpret_cast<const void*>(address), own < parts);
    }
  }
  __device__ float value(uint32_t word, int row, uint32_t part) const {
    if constexpr (std::is_same_v<S, float>) return __uint_as_float(word);
    const bool upper = reinterpret_cast<uintptr_t>(first + index(row, part)) & 2;
    return __uint_as_float(upper ? word & 0xffff0000 : word << 16);
  }
};

}  // namespace zeta::cuda
