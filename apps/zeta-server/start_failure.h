// A start that cannot succeed.
#pragma once

#include <stdexcept>
#include <string>

namespace zeta::server {

// What to say and how to exit.
struct StartFailure : std::runtime_error {
  StartFailure(int code, const std::string& message) : std::runtime_error(message), exit_code(code) {}
  int exit_code;
};

}  // namespace zeta::server
