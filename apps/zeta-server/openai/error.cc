#include "apps/zeta-server/openai/error.h"

#include <utility>

#include "apps/zeta-server/kserve/error.h"
#include "src/base/json_string.h"

namespace zeta::server::openai {
namespace {

std::string_view error_type(int status) {
  if (status == 429) return "rate_limit_error";
  return status >= 500 ? "server_error" : "invalid_request_error";
}

void append_nullable(std::string& out, std::string_view text) {
  if (text.empty()) {
    out += "null";
  } else {
    append_json_string(out, text);
  }
}

}  // namespace

ApiError bad_value(std::string param, const std::string& message, std::string code) {
  return ApiError(400, message, std::move(param), std::move(code));
}

ApiError to_api_error(const absl::Status& status) {
  const std::string message(status.message());
  switch (status.code()) {
    case absl::StatusCode::kOutOfRange:
      return ApiError(400, message, "", "context_length_exceeded");
    case absl::StatusCode::kResourceExhausted:
      return ApiError(429, message, "", "queue_full");
    case absl::StatusCode::kNotFound:
      return ApiError(404, message, "model", "model_not_found");
    default:
      return ApiError(kserve::http_status(status), message, "", "");
  }
}

std::string error_body(const ApiError& error) {
  std::string body = "{\"error\":{\"message\":";
  append_json_string(body, error.what());
  body.append(",\"type\":\"").append(error_type(error.status())).append("\",\"param\":");
  append_nullable(body, error.param());
  body += ",\"code\":";
  append_nullable(body, error.code());
  return body + "}}";
}

http::Response error_response(const ApiError& error) {
  http::Response response;
  response.status = error.status();
  response.body = error_body(error);
  if (error.status() == 429) response.headers.emplace_back("Retry-After", "1");
  return response;
}

}  // namespace zeta::server::openai
