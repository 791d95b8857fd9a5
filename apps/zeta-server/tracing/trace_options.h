// What --trace-config says.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace zeta::server {

enum class TraceMode { kTriton, kOpenTelemetry };

struct TraceOptions {
  TraceMode mode = TraceMode::kTriton;
  std::vector<std::string> levels{"OFF"};  // OFF, or TIMESTAMPS and TENSORS
  uint32_t rate = 1000;                    // one request in so many; 0: none
  int64_t count = -1;                      // traces still to be taken; -1: any number
  // Of the mode triton.
  std::string file;
  uint32_t log_frequency = 0;  // traces in a file; 0: all in one
  // Of the mode opentelemetry.
  std::string url = "http://localhost:4318/v1/traces";
  std::map<std::string, std::string> resource{{"service.name", "triton-inference-server"}};
  size_t max_queue = 2048;  // spans
  size_t max_batch = 512;   // spans
  std::chrono::milliseconds delay{5000};
};

// `texts`: each "SETTING=VALUE", "triton,SETTING=VALUE" or "opentelemetry,SETTING=VALUE", as Triton has them.
// What the flags do not say comes from OTEL_RESOURCE_ATTRIBUTES, OTEL_BSP_MAX_QUEUE_SIZE,
// OTEL_BSP_SCHEDULE_DELAY and OTEL_BSP_MAX_EXPORT_BATCH_SIZE. InvalidArgument names what is wrong.
absl::StatusOr<TraceOptions> read_trace_options(const std::vector<std::string>& texts);

}  // namespace zeta::server
