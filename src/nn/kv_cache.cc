#include "src/nn/kv_cache.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstring>

namespace zeta::nn {
namespace {

constexpr int64_t kSmallestCapacity = 64;

// Copies rows (n, heads, row) to a store (heads, capacity, row), from its token `at` on.
void scatter_heads(const at::Tensor& rows, const at::Tensor& store, int64_t at) {
  const int64_t n = rows.size(0), heads = rows.size(1);
  const size_t row = static_cast<size_t>(rows.size(2)) * rows.element_size();
  const size_t head_stride = static_cast<size_t>(store.size(1)) * row;
  const auto* from = static_cast<const std::byte*>(rows.const_data_ptr());
  auto* to = static_cast<std::byte*>(store.data_ptr()) + static_cast<size_t>(at) * row;
  for (int64_t i = 0; i < n; ++i, to += row) {
    for (int64_t head = 0; head < heads; ++head, from += row) {
      std::memcpy(to + static_cast<size_t>(head) * head_stride, from, row);
    }
  }
}

at::Tensor view_tokens(const at::Tensor& store, int64_t tokens) {
  return store.narrow(1, 0, tokens).transpose(0, 1).unsqueeze(0);
}

}  // namespace

KvCache::KvCache(int64_t num_layers, int64_t num_kv_heads, int64_t head_dim, at::ScalarType dtype,
                 int64_t max_tokens)
    : num_kv_heads_(num_kv_heads), head_dim_(head_dim), max_tokens_(max_tokens) {
  for (int64_t layer = 0; layer < num_layers; ++layer) {
    keys_.push_back(at::empty({num_kv_heads, 0, head_dim}, dtype));
    values_.push_back(at::empty({num_kv_heads, 0, head_dim}, dtype));
  }
}

size_t KvCache::bytes() const {
  size_t total = 0;
  for (const auto* stores : {&keys_, &values_}) {
    for (const at::Tensor& store : *stores) total += store.nbytes();
  }
  return total;
}

void KvCache::reserve(int64_t tokens) {
  TORCH_CHECK(tokens <= max_tokens_, "expected at most ", max_tokens_, " tokens in the cache, got ", tokens);
  for (size_t layer = 0; layer < keys_.size(); ++layer) {
    for (at::Tensor* store : {&keys_[layer], &values_[layer]}) {
      int64_t capacity = std::max(store->size(1), kSmallestCapacity);
      while (capacity < tokens) capacity *= 2;
      capacity = std::min(capacity, max_tokens_);
      if (capacity > store->size(1)) grow(*store, capacity);
    }
  }
}

void KvCache::grow(at::Tensor& store, int64_t capacity) const {
  at::Tensor grown = at::empty({num_kv_heads_, capacity, head_dim_}, store.options());
  grown.narrow(1, 0, size_).copy_(store.narrow(1, 0, size_));
  store = std::move(grown);
}

void KvCache::append(int64_t layer, const at::Tensor& k, const at::Tensor& v) {
  const auto index = static_cast<size_t>(layer);
  TORCH_CHECK(size_ + k.size(0) <= keys_[index].size(1), "expected room for ", size_ + k.size(0),
              " tokens in the cache, got ", keys_[index].size(1));
  scatter_heads(k, keys_[index], size_);
  scatter_heads(v, values_[index], size_);
}

at::Tensor KvCache::keys(int64_t layer, int64_t tokens) const {
  return view_tokens(keys_[static_cast<size_t>(layer)], tokens);
}

at::Tensor KvCache::values(int64_t layer, int64_t tokens) const {
  return view_tokens(values_[static_cast<size_t>(layer)], tokens);
}

}  // namespace zeta::nn
