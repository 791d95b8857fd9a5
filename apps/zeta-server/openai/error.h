// Failures as the OpenAI API tells them.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "src/http/message.h"

namespace zeta::server::openai {

// What is wrong with a request. Thrown while it is read, answered at one place.
class ApiError : public std::runtime_error {
 public:
  ApiError(int status, const std::string& message, std::string param, std::string code)
      : std::runtime_error(message), status_(status), param_(std::move(param)), code_(std::move(code)) {}
  int status() const { return status_; }
  const std::string& param() const { return param_; }
  const std::string& code() const { return code_; }

 private:
  int status_;
  std::string param_;  // the field at fault, or ""
  std::string code_;   // "" is told as null
};

// 400 with `code` "invalid_value" unless another is given.
ApiError bad_value(std::string param, const std::string& message, std::string code = "invalid_value");

// A model's failure: the queue is full 429, no room for the prompt 400 "context_length_exceeded", and so on.
ApiError to_api_error(const absl::Status& status);

// {"error":{"message","type","param","code"}}
std::string error_body(const ApiError& error);
http::Response error_response(const ApiError& error);

}  // namespace zeta::server::openai
