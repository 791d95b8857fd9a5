// What one client may cost the server.
#pragma once

#include <chrono>
#include <cstddef>

namespace zeta::http {

struct Limits {
  size_t header_bytes = 32 << 10;  // request line and headers → 431
  size_t body_bytes = 64 << 20;    // → 413
  size_t connections = 4096;       // of each port → 503, but for routes that answer when full

  // Time without a request on a kept-alive connection, after which it is closed.
  std::chrono::milliseconds idle_timeout{75'000};
  // Time for a request to arrive, from its first byte → 408. A body earns one more second per `min_rate`
  // bytes.
  std::chrono::milliseconds read_timeout{30'000};
  // Time for the client to take what is written, with the same allowance; then the connection is closed.
  std::chrono::milliseconds write_timeout{30'000};
  // Time from the request's arrival to the end of its answer → the handler is told to abandon it. 0: no
  // limit.
  std::chrono::milliseconds request_timeout{0};

  static constexpr size_t min_rate = 64 << 10;  // bytes per second
};

}  // namespace zeta::http
