// The messages that wait to be written to a stream.
#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <deque>
#include <map>
#include <optional>

namespace zeta::server::grpc_api {

// Keeps the messages of those requests that want it in the order of the requests. Not thread-safe.
class ResponseQueue {
 public:
  // A request that will have one message, whose turn comes after those of all earlier such requests.
  uint64_t reserve();
  void put(uint64_t place, const grpc::ByteBuffer& message);
  // A message without a place: its turn is now.
  void put(const grpc::ByteBuffer& message);

  // The next message whose turn has come.
  std::optional<grpc::ByteBuffer> take();
  bool has_next() const { return !ready_.empty(); }
  // Of all that waits, for its turn too.
  size_t bytes() const { return bytes_; }
  void clear();

 private:
  std::deque<grpc::ByteBuffer> ready_;
  std::map<uint64_t, std::optional<grpc::ByteBuffer>> places_;
  uint64_t next_place_ = 0;
  size_t bytes_ = 0;
};

}  // namespace zeta::server::grpc_api
