#include "apps/zeta-server/settings/trace_settings.h"

#include <charconv>
#include <cstdint>
#include <optional>

#include "src/base/concat.h"

namespace zeta::server {
namespace {

template <class... Parts>
absl::Status invalid(const Parts&... parts) {
  return absl::InvalidArgumentError(concat(parts...));
}

const TraceValues& first_values() {
  static const auto* values =
      new TraceValues{{"trace_file", {""}},    {"trace_level", {"OFF"}}, {"trace_rate", {"1000"}},
                      {"trace_count", {"-1"}}, {"log_frequency", {"0"}}, {"trace_mode", {"triton"}}};
  return *values;
}

std::optional<int64_t> to_integer(const std::string& text) {
  int64_t value = 0;
  const char* end = text.data() + text.size();
  if (std::from_chars(text.data(), end, value) != std::from_chars_result{end, {}}) return std::nullopt;
  return value;
}

absl::Status check_number(std::string_view name, const std::string& text, int64_t least) {
  const auto value = to_integer(text);
  if (!value) return invalid("Unable to parse '", name, "', got: ", text);
  if (*value >= least) return absl::OkStatus();
  return invalid("Unable to parse '", name, "'. Expecting value >= ", least, ", got: ", text);
}

absl::Status check_level(const std::vector<std::string>& levels) {
  for (const std::string& level : levels) {
    if (level == "OFF") continue;
    if (level != "TIMESTAMPS" && level != "TENSORS") return invalid("unknown trace level '", level, "'");
    return invalid("Attempting to set invalid trace setting :trace file name is not given");
  }
  return absl::OkStatus();
}

absl::Status check(const std::string& name, const std::vector<std::string>& values) {
  if (!first_values().contains(name)) return invalid("unknown trace setting '", name, "'");
  if (name == "trace_file") {
    return absl::UnimplementedError("trace file location can not be updated through network protocol");
  }
  if (name == "trace_mode") {
    return absl::UnimplementedError("trace mode can not be updated through network protocol");
  }
  if (values.empty()) return absl::OkStatus();
  if (name == "trace_level") return check_level(values);
  if (values.size() != 1) return invalid("expect only 1 value for '", name, "'");
  return check_number(name, values.front(), name == "trace_count" ? -1 : 0);
}

}  // namespace

TraceValues TraceSettings::get(std::string_view model) const {
  TraceValues values = first_values();
  MutexLock lock(mutex_);
  for (const std::string_view whose : {std::string_view(), model}) {
    const auto changed = changed_.find(whose);
    if (changed == changed_.end()) continue;
    for (const auto& [name, value] : changed->second) values[name] = value;
  }
  return values;
}

absl::Status TraceSettings::update(std::string_view model, const TraceValues& changes) {
  for (const auto& [name, values] : changes) {
    if (absl::Status status = check(name, values); !status.ok()) return status;
  }
  MutexLock lock(mutex_);
  TraceValues& changed = changed_[std::string(model)];
  for (const auto& [name, values] : changes) {
    if (values.empty()) {
      changed.erase(name);
    } else {
      changed[name] = values;
    }
  }
  return absl::OkStatus();
}

}  // namespace zeta::server
