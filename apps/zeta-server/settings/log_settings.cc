#include "apps/zeta-server/settings/log_settings.h"

#include <array>
#include <string_view>

#include "src/base/concat.h"
#include "src/base/log.h"

namespace zeta::server {
namespace {

constexpr std::array<std::string_view, 3> kSwitches = {"log_info", "log_warning", "log_error"};

template <class... Parts>
absl::Status invalid(const Parts&... parts) {
  return absl::InvalidArgumentError(concat(parts...));
}

absl::Status check(std::string_view name, const LogSetting& value) {
  if (name == "log_file") {
    return absl::UnimplementedError("log file location can not be updated through network protocol");
  }
  if (name == "log_format") {
    const auto* text = std::get_if<std::string>(&value);
    if (text == nullptr) return invalid("expect string for 'log_format'");
    if (*text == "default") return absl::OkStatus();
    return invalid("invalid argument for log_format, got: ", *text);
  }
  if (name == "log_verbose_level") {
    if (std::holds_alternative<uint32_t>(value)) return absl::OkStatus();
    return invalid("expect int32 for 'log_verbose_level'");
  }
  for (const std::string_view known : kSwitches) {
    if (name != known) continue;
    if (std::holds_alternative<bool>(value)) return absl::OkStatus();
    return invalid("expect boolean for '", name, "'");
  }
  return invalid("unknown log setting '", name, "'");
}

log::Level least_level(const LogSettings& settings) {
  const auto on = [&](std::string_view name) { return std::get<bool>(settings.find(name)->second); };
  if (std::get<uint32_t>(settings.find("log_verbose_level")->second) > 0) return log::Level::kVerbose;
  if (on("log_info")) return log::Level::kInfo;
  return on("log_warning") ? log::Level::kWarning : log::Level::kError;
}

}  // namespace

LogSettings log_settings() {
  const log::Level level = log::level();
  return {{"log_file", log::file()},
          {"log_format", std::string("default")},
          {"log_info", level <= log::Level::kInfo},
          {"log_warning", level <= log::Level::kWarning},
          {"log_error", true},
          {"log_verbose_level", static_cast<uint32_t>(level == log::Level::kVerbose ? 1 : 0)}};
}

absl::Status update_log_settings(const LogSettings& changes) {
  LogSettings settings = log_settings();
  for (const auto& [name, value] : changes) {
    if (absl::Status status = check(name, value); !status.ok()) return status;
    settings[name] = value;
  }
  log::set_level(least_level(settings));
  return absl::OkStatus();
}

}  // namespace zeta::server
