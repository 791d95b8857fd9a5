// Which keys a query sees, by causality and window alone, and which queries see a key.
#pragma once

#include <cuda_runtime_api.h>

namespace zeta::cuda::ampere {

struct Span {
  int begin, end;
};

// A query at position i + seq_k - seq_q sees keys from `left` before it to `right` after it. Sums of two
// lengths and a limit fit into an int.
struct Band {
  int seq_q, seq_k;
  int left, right;  // at most seq_q + seq_k, which is no limit

  // The keys that query i sees; nobody for i >= seq_q cares.
  __device__ __forceinline__ Span keys_of(int i) const {
    const int position = i + seq_k - seq_q;
    return {max(0, position - left), min(seq_k, position + right + 1)};
  }
  // … that some of `count` queries see, and that all of them do.
  __device__ __forceinline__ Span keys_of(int i, int count) const {
    return {keys_of(i).begin, keys_of(min(i + count, seq_q) - 1).end};
  }
  __device__ __forceinline__ Span keys_of_all(int i, int count) const {
    return {keys_of(i + count - 1).begin, keys_of(i).end};
  }
  // The queries that some of `count` keys are seen by, and those by whom all are.
  __device__ __forceinline__ Span queries_of(int j, int count) const {
    const int first = j - (seq_k - seq_q), last = min(j + count, seq_k) - 1 - (seq_k - seq_q);
    return {max(0, first - right), min(seq_q, last + left + 1)};
  }
  __device__ __forceinline__ Span queries_of_all(int j, int count) const {
    const int first = j - (seq_k - seq_q), last = first + count - 1;
    if (j + count > seq_k) return {0, 0};
    return {max(0, last - right), min(seq_q, first + left + 1)};
  }
};

}  // namespace zeta::cuda::ampere
