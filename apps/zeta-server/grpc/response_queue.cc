#include "apps/zeta-server/grpc/response_queue.h"

#include <utility>

namespace zeta::server::grpc_api {

uint64_t ResponseQueue::reserve() {
  places_.emplace(next_place_, std::nullopt);
  return next_place_++;
}

void ResponseQueue::put(uint64_t place, grpc::ByteBuffer message) {
  const auto found = places_.find(place);
  if (found == places_.end()) return;
  bytes_ += message.Length();
  found->second = std::move(message);
  while (!places_.empty() && places_.begin()->second) {
    ready_.push_back(*std::move(places_.begin()->second));
    places_.erase(places_.begin());
  }
}

void ResponseQueue::put(grpc::ByteBuffer message) {
  bytes_ += message.Length();
  ready_.push_back(std::move(message));
}

std::optional<grpc::ByteBuffer> ResponseQueue::take() {
  if (ready_.empty()) return std::nullopt;
  grpc::ByteBuffer message = std::move(ready_.front());
  ready_.pop_front();
  bytes_ -= message.Length();
  return message;
}

void ResponseQueue::clear() {
  ready_.clear();
  places_.clear();
  bytes_ = 0;
}

}  // namespace zeta::server::grpc_api
