// Responses in the order of their requests, whichever is ready first.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>

#include "src/base/mutex.h"
#include "src/serving/backend.h"

namespace zeta::serving {

// Thread-safe. For models that answer a request with one response.
class OrderedDelivery : public std::enable_shared_from_this<OrderedDelivery> {
 public:
  // What is sent to the result reaches `sink` after the responses to all that were wrapped before.
  std::shared_ptr<ResponseSink> wrap(std::shared_ptr<ResponseSink> sink) ZETA_EXCLUDES(mutex_);

 private:
  class Sink;
  struct Slot {
    std::shared_ptr<ResponseSink> sink;
    std::optional<InferResponse> response;
  };
  void put(uint64_t number, InferResponse response) ZETA_EXCLUDES(mutex_);

  Mutex mutex_;
  std::deque<Slot> slots_ ZETA_GUARDED_BY(mutex_);
  uint64_t first_ ZETA_GUARDED_BY(mutex_) = 0;  // the number of slots_.front()
  bool delivering_ ZETA_GUARDED_BY(mutex_) = false;
};

}  // namespace zeta::serving
