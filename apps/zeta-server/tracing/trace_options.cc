#include "apps/zeta-server/tracing/trace_options.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "src/base/concat.h"
#include "src/http/client.h"

namespace zeta::server {
namespace {

template <class... Parts>
absl::Status invalid(const Parts&... parts) {
  return absl::InvalidArgumentError(concat(parts...));
}

template <class Number>
absl::Status read_number(std::string_view name, std::string_view text, int64_t least, Number& number) {
  int64_t value = 0;
  const char* const end = text.data() + text.size();
  if (std::from_chars(text.data(), end, value) != std::from_chars_result{end, {}} || value < least ||
      value > INT32_MAX) {
    return invalid(name, ": expected a number from ", least, " to ", INT32_MAX, ", got '", text, "'");
  }
  number = static_cast<Number>(value);
  return absl::OkStatus();
}

absl::Status add_attribute(std::string_view text, TraceOptions& options) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0) {
    return invalid("resource: expected KEY=VALUE, got '", text, "'");
  }
  options.resource[std::string(text.substr(0, equals))] = text.substr(equals + 1);
  return absl::OkStatus();
}

absl::Status read_delay(std::string_view name, std::string_view text, TraceOptions& options) {
  int64_t delay = 0;
  absl::Status status = read_number(name, text, 1, delay);
  if (status.ok()) options.delay = std::chrono::milliseconds(delay);
  return status;
}

absl::Status set_global(std::string_view name, std::string_view value, TraceOptions& options) {
  if (name == "rate") return read_number(name, value, 0, options.rate);
  if (name == "count") return read_number(name, value, -1, options.count);
  if (name == "level") {
    if (value != "OFF" && value != "TIMESTAMPS" && value != "TENSORS") {
      return invalid("level: expected OFF, TIMESTAMPS or TENSORS, got '", value, "'");
    }
    if (value == "OFF" || options.levels.front() == "OFF") options.levels.clear();
    options.levels.emplace_back(value);
    return absl::OkStatus();
  }
  if (name != "mode") return invalid("unknown setting '", name, "'; expected rate, level, count or mode");
  if (value != "triton" && value != "opentelemetry") {
    return invalid("mode: expected triton or opentelemetry, got '", value, "'");
  }
  options.mode = value == "triton" ? TraceMode::kTriton : TraceMode::kOpenTelemetry;
  return absl::OkStatus();
}

absl::Status set_triton(std::string_view name, std::string_view value, TraceOptions& options) {
  if (name == "file") {
    options.file = value;
    return absl::OkStatus();
  }
  if (name == "log-frequency") return read_number(name, value, 0, options.log_frequency);
  return invalid("unknown setting 'triton,", name, "'; expected file or log-frequency");
}

absl::Status set_opentelemetry(std::string_view name, std::string_view value, TraceOptions& options) {
  if (name == "resource") return add_attribute(value, options);
  if (name == "bsp_max_queue_size") return read_number(name, value, 1, options.max_queue);
  if (name == "bsp_max_export_batch_size") return read_number(name, value, 1, options.max_batch);
  if (name == "bsp_schedule_delay") return read_delay(name, value, options);
  if (name != "url") {
    return invalid("unknown setting 'opentelemetry,", name, "'; expected url, resource, bsp_max_queue_size, ",
                   "bsp_schedule_delay or bsp_max_export_batch_size");
  }
  options.url = value;
  return http::parse_url(value).status();
}

absl::Status set(std::string_view text, TraceOptions& options) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos) return invalid("expected [MODE,]SETTING=VALUE, got '", text, "'");
  const std::string_view value = text.substr(equals + 1);
  const std::string_view name = text.substr(0, equals);
  const size_t comma = name.find(',');
  if (comma == std::string_view::npos) return set_global(name, value, options);
  const std::string_view mode = name.substr(0, comma);
  if (mode == "triton") return set_triton(name.substr(comma + 1), value, options);
  if (mode == "opentelemetry") return set_opentelemetry(name.substr(comma + 1), value, options);
  return invalid("unknown mode '", mode, "'; expected triton or opentelemetry");
}

absl::Status read_environment(TraceOptions& options) {
  static constexpr std::pair<const char*, const char*> kNames[] = {
      {"OTEL_BSP_MAX_QUEUE_SIZE", "bsp_max_queue_size"},
      {"OTEL_BSP_SCHEDULE_DELAY", "bsp_schedule_delay"},
      {"OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "bsp_max_export_batch_size"}};
  for (const auto& [variable, name] : kNames) {
    const char* const value = std::getenv(variable);
    if (value == nullptr || *value == 0) continue;
    if (absl::Status status = set_opentelemetry(name, value, options); !status.ok()) return status;
  }
  const char* const attributes = std::getenv("OTEL_RESOURCE_ATTRIBUTES");
  for (std::string_view rest = attributes == nullptr ? "" : attributes; !rest.empty();) {
    const std::string_view one = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(one.size() + 1, rest.size()));
    if (absl::Status status = add_attribute(one, options); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TraceOptions> read_trace_options(const std::vector<std::string>& texts) {
  TraceOptions options;
  if (absl::Status status = read_environment(options); !status.ok()) return status;
  for (const std::string& text : texts) {
    if (absl::Status status = set(text, options); !status.ok()) return status;
  }
  const bool traces = options.levels.front() != "OFF";
  if (options.mode == TraceMode::kTriton) {
    if (traces && options.file.empty()) return invalid("level: needs triton,file=PATH");
    return options;
  }
  for (const std::string& level : options.levels) {
    if (level == "TENSORS") return invalid("level: TENSORS is not to be had in the mode opentelemetry");
  }
  if (options.max_batch > options.max_queue) {
    return invalid("bsp_max_export_batch_size: expected at most bsp_max_queue_size (", options.max_queue,
                   "), got ", options.max_batch);
  }
  return options;
}

}  // namespace zeta::server
