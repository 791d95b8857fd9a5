// Answers that were given before, for requests that ask the same again.
#pragma once

#include <cstddef>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "src/base/mutex.h"
#include "src/serving/backend.h"

namespace zeta::serving {

// Thread-safe. Bounded by bytes, its own and those of requests and answers; the longest unused goes first.
// Requests are compared, not only their hashes.
class ResponseCache {
 public:
  explicit ResponseCache(size_t capacity) : capacity_(capacity) {}

  // Of a successful answer; its outputs stay valid when the cache drops them.
  std::optional<InferResponse> find(std::string_view key) ZETA_EXCLUDES(mutex_);
  // Copies the outputs, whose memory a batch may share. Nothing happens when it alone exceeds the capacity.
  void insert(std::string key, const InferResponse& response) ZETA_EXCLUDES(mutex_);

  size_t size() const ZETA_EXCLUDES(mutex_);  // bytes

 private:
  struct Entry {
    std::string key;
    InferResponse response;
    size_t size = 0;
  };
  using Entries = std::list<Entry>;  // the last used first

  const size_t capacity_;
  mutable Mutex mutex_;
  Entries entries_ ZETA_GUARDED_BY(mutex_);
  std::unordered_map<std::string_view, Entries::iterator> by_key_ ZETA_GUARDED_BY(mutex_);
  size_t size_ ZETA_GUARDED_BY(mutex_) = 0;
};

// All that an answer depends on: `model` (which no two loaded models share), inputs in whatever order, the
// outputs that are wanted, and the parameters that reach the model.
std::string cache_key(std::string_view model, const InferRequest& request);

}  // namespace zeta::serving
