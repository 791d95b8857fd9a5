// Failures as the KServe API tells them.
#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "src/http/message.h"

namespace zeta::server::kserve {

// Triton's mapping: not found 404, unavailable or out of room 503, unsupported 501, internal 500, cancelled
// 499, out of time 504, all else 400.
int http_status(const absl::Status& status);

// {"error":"…"}
http::Response error_response(int status, std::string_view message);
http::Response error_response(const absl::Status& status);

}  // namespace zeta::server::kserve
