// Codes as they are stored.
#pragma once

#include <cstdint>

namespace zeta::cuda {

// Eight whole numbers as bytes.
__device__ inline uint2 as_bytes(const float (&codes)[8]) {
  uint32_t words[2] = {};
#pragma unroll
  for (int i = 0; i < 8; ++i)
    words[i / 4] |= (static_cast<uint32_t>(static_cast<int>(codes[i])) & 0xff) << (i % 4 * 8);
  return {words[0], words[1]};
}

}  // namespace zeta::cuda
