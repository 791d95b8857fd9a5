// Keys and values of one sequence, in every layer.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace zeta::nn {

// A layer's keys are stored (kv_heads, capacity, head_dim), so that attention reads each head as one stream.
// Memory grows by doubling, one layer after another, and never past `max_tokens`: at the peak a sequence
// holds its cache and one layer's half of it more. Not thread-safe; used under c10::InferenceMode.
class KvCache {
 public:
  KvCache(int64_t num_layers, int64_t num_kv_heads, int64_t head_dim, at::ScalarType dtype,
          int64_t max_tokens);

  int64_t size() const { return size_; }  // tokens that every layer holds
  int64_t max_tokens() const { return max_tokens_; }
  size_t bytes() const;  // allocated

  // Makes room for `tokens` in all. Throws when there is no memory for it; the cache is then as it was.
  void reserve(int64_t tokens);

  // Writes k and v, both contiguous (n, kv_heads, head_dim), of the n tokens after size(). Room must have
  // been reserved.
  void append(int64_t layer, const at::Tensor& k, const at::Tensor& v);
  // Views (1, tokens, kv_heads, head_dim) of the first `tokens`.
  at::Tensor keys(int64_t layer, int64_t tokens) const;
  at::Tensor values(int64_t layer, int64_t tokens) const;
  // Counts n tokens that have been appended to every layer.
  void advance(int64_t n) { size_ += n; }

 private:
  void grow(at::Tensor& store, int64_t capacity) const;

  int64_t num_kv_heads_, head_dim_, max_tokens_;
  int64_t size_ = 0;
  std::vector<at::Tensor> keys_, values_;  // a layer each, (kv_heads, capacity, head_dim)
};

}  // namespace zeta::nn
