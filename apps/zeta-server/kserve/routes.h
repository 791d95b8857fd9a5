// The KServe v2 API (https://github.com/kserve/open-inference-protocol) with Triton's extensions.
#pragma once

#include <memory>

#include "apps/zeta-server/context.h"
#include "src/http/router.h"

namespace zeta::server::kserve {

void add_routes(http::Router& router, const std::shared_ptr<const Context>& context);

}  // namespace zeta::server::kserve
