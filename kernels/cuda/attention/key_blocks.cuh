// Which blocks of keys some queries see.
#pragma once

#include <cuda_runtime_api.h>

namespace zeta::cuda {

// Of `rows` queries: [0, count), those from `whole` on with keys that some row does not.
template <class Traits>
struct KeyBlocks {
  int count, whole;
  template <class Params>
  __device__ __forceinline__ KeyBlocks(const Params& p, int first_row, int rows) {
    const int behind = p.seq_k - p.seq_q;
    int keys = p.seq_k, seen_by_all = p.seq_k;
    if (Traits::kCausal) {
      keys = max(0, min(keys, first_row + rows + behind));
      seen_by_all = max(0, min(seen_by_all, first_row + 1 + behind));
    }
    count = first_row < p.seq_q ? (keys + Traits::kKeys - 1) / Traits::kKeys : 0;
    whole = seen_by_all / Traits::kKeys;
  }
};

}  // namespace zeta::cuda
