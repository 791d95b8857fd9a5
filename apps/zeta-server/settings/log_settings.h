// What Triton's logging extension reads and changes while the server runs.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <variant>

#include "absl/status/status.h"

namespace zeta::server {

using LogSetting = std::variant<bool, uint32_t, std::string>;
using LogSettings = std::map<std::string, LogSetting, std::less<>>;

// log_file, log_format, log_info, log_warning, log_error and log_verbose_level. Thread-safe, as the log is.
LogSettings log_settings();

// All or nothing. The least level that is written follows from the three switches and the verbose level: a
// level can only be off together with those below it. InvalidArgument and Unimplemented, in Triton's words,
// for a setting that is unknown, of the wrong type, or cannot change while the server runs.
absl::Status update_log_settings(const LogSettings& changes);

}  // namespace zeta::server
