#include "apps/zeta-server/grpc/response_queue.h"

namespace zeta::server::grpc_api {

uint64_t ResponseQueue::reserve() {
  places_.emplace(next_place_, std::nullopt);
  return next_place_++;
}

void ResponseQueue::put(uint64_t place, const grpc::ByteBuffer& message) {
  const auto found = places_.find(place);
  if (found == places_.end()) return;
  bytes_ += message.Length();
  found->second = message;
  while (!places_.empty()) {
    const std::optional<grpc::ByteBuffer>& first = places_.begin()->second;
    if (!first) break;
    ready_.push_back(*first);
    places_.erase(places_.begin());
  }
}

void ResponseQueue::put(const grpc::ByteBuffer& message) {
  bytes_ += message.Length();
  ready_.push_back(message);
}

std::optional<grpc::ByteBuffer> ResponseQueue::take() {
  if (ready_.empty()) return std::nullopt;
  grpc::ByteBuffer message = ready_.front();
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
