#include "apps/zeta-server/kserve/error.h"

#include <string>

#include "src/base/json_string.h"

namespace zeta::server::kserve {

int http_status(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kResourceExhausted:
      return 503;
    case absl::StatusCode::kUnimplemented:
      return 501;
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kDataLoss:
      return 500;
    case absl::StatusCode::kCancelled:
      return 499;
    case absl::StatusCode::kDeadlineExceeded:
      return 504;
    default:
      return 400;
  }
}

http::Response error_response(int status, std::string_view message) {
  http::Response response;
  response.status = status;
  response.body = "{\"error\":";
  append_json_string(response.body, message);
  response.body += '}';
  return response;
}

http::Response error_response(const absl::Status& status) {
  return error_response(http_status(status), std::string(status.message()));
}

}  // namespace zeta::server::kserve
