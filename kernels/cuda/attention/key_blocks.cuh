// Which blocks of keys a tile of queries sees.
#pragma once

#include <cuda_runtime_api.h>

namespace zeta::cuda {

// [0, count), those from `whole` on with keys that some row does not.
template <class Traits>
struct KeyBlocks {
  int count, whole;
  template <class Params>
  __device__ __forceinline__ KeyBlocks(const Params& p, int row_block) {
    const int first_row = row_block * Traits::kRows, behind = p.seq_k - p.seq_q;
    int keys = p.seq_k, seen_by_all = p.seq_k;
    if (Traits::kCausal) {
      keys = max(0, min(keys, first_row + Traits::kRows + behind));
      seen_by_all = max(0, min(seen_by_all, first_row + 1 + behind));
    }
    count = (keys + Traits::kKeys - 1) / Traits::kKeys;
    whole = seen_by_all / Traits::kKeys;
  }
};

}  // namespace zeta::cuda
