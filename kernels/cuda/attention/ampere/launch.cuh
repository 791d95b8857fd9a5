// What both directions' launches share.
#pragma once

#include <algorithm>

#include "kernels/cuda/attention/ampere/ampere.h"
#include "kernels/cuda/attention/ampere/span.cuh"
#include "kernels/cuda/launch.cuh"

namespace zeta::cuda::ampere {

// A window wider than both sequences is none.
inline Band band_of(const AttentionShape& s, const AttentionWindow& window, bool causal) {
  const int64_t all = s.seq_q + s.seq_k;
  const auto limit = [&](int64_t size) { return static_cast<int>(size < 0 ? all : std::min(size, all)); };
  return {static_cast<int>(s.seq_q), static_cast<int>(s.seq_k), limit(window.left),
          causal ? 0 : limit(window.right)};
}

// Whether the kernels' ints, a grid's dimensions and their largest tile hold it.
inline bool in_reach(const AttentionShape& s) {
  constexpr int64_t kMostPositions = int64_t{1} << 28;  // with a window on either side
  constexpr int64_t kMostTiles = INT32_MAX / 2, kMostHeads = 65535, kRows = 64;
  return s.head_dim <= 256 && s.value_dim <= 256 && s.head_dim % 8 == 0 && s.value_dim % 8 == 0 &&
         s.seq_q <= kMostPositions / 4 && s.seq_k <= kMostPositions && s.num_heads <= kMostHeads &&
         s.batch <= kMostHeads && s.batch * s.num_heads * ((s.seq_q + kRows - 1) / kRows) <= kMostTiles;
}

// Whether a block of the device can have the kernel's tiles.
template <class Traits>
bool fits(const Device& device) {
  return device.shared >= static_cast<int>(sizeof(typename Traits::Shared));
}

// Whether rows can be read and written 16 bytes at a time.
inline bool in_pieces(const AttentionTensor& t) {
  return reinterpret_cast<uintptr_t>(t.data) % 16 == 0 && t.batch_stride % 8 == 0 && t.seq_stride % 8 == 0 &&
         t.head_stride % 8 == 0;
}

}  // namespace zeta::cuda::ampere
