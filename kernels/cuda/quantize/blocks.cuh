// Launches over vectors of eight values.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/launch.cuh"

namespace zeta::cuda {

constexpr int kQuantizeThreads = 256;
constexpr int kVectorsUnderWay = 4;  // loads of a thread that are under way at once

// Blocks that run at once on the largest GPUs of today, each going over several pieces where there are more.
inline unsigned blocks_for(int64_t vectors) {
  constexpr int64_t kPiece = kQuantizeThreads * kVectorsUnderWay;
  return static_cast<unsigned>(std::clamp<int64_t>((vectors + kPiece - 1) / kPiece, 1, 1056));
}

}  // namespace zeta::cuda
