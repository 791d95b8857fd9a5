// What all gRPC calls share.
#pragma once

#include <chrono>
#include <memory>

#include "apps/zeta-server/access.h"
#include "apps/zeta-server/context.h"
#include "apps/zeta-server/grpc/call_limits.h"

namespace zeta::server::grpc_api {

struct CallContext {
  std::shared_ptr<const Context> server;
  AccessRules access;
  std::shared_ptr<const HeaderPattern> forwarded_headers;  // null: none
  std::chrono::milliseconds request_timeout{0};            // 0: no limit
  mutable CallLimits limits;
};

}  // namespace zeta::server::grpc_api
