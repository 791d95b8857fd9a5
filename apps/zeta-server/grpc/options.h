// How the gRPC server listens.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "apps/zeta-server/access.h"
#include "apps/zeta-server/certificates.h"

namespace zeta::server::grpc_api {

// Milliseconds, counts and switches of HTTP/2's pings, as gRPC's channel arguments have them.
struct KeepAlive {
  int64_t time_ms = 7'200'000;
  int64_t timeout_ms = 20'000;
  bool permit_without_calls = false;
  int64_t max_pings_without_data = 2;
  int64_t min_recv_ping_interval_without_data_ms = 300'000;
  int64_t max_ping_strikes = 2;
  int64_t max_connection_age_ms = 0;  // 0: no limit
  int64_t max_connection_age_grace_ms = 0;
};

struct Options {
  std::string address = "0.0.0.0";
  uint16_t port = 8001;
  bool use_tls = false;
  bool require_client_certificate = false;
  TlsFiles tls;
  KeepAlive keep_alive;
  std::string compression = "none";              // of responses: none, low, medium, high
  int max_message_bytes = INT32_MAX;             // → RESOURCE_EXHAUSTED
  size_t max_requests = 4096;                    // under way at once → UNAVAILABLE
  std::chrono::milliseconds request_timeout{0};  // 0: no limit
  AccessRules access;
  std::shared_ptr<const HeaderPattern> forwarded_headers;  // null: none
};

}  // namespace zeta::server::grpc_api
