// What is served on a port.
#pragma once

#include <string>

#include "src/http/limits.h"
#include "src/http/router.h"

namespace zeta::http {

struct Service {
  std::string name;  // in log lines: "http", "metrics"
  Router router;
  ErrorResponder error;
  Limits limits;
};

}  // namespace zeta::http
