// What is served on a port.
#pragma once

#include <string>

#include "http/limits.h"
#include "http/router.h"

namespace zeta::http {

struct Service {
  std::string name;  // in log lines: "http", "metrics"
  Router router;
  ErrorResponder error;
  Limits limits;
};

}  // namespace zeta::http
