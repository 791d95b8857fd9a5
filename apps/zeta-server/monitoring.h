// GET /metrics
#pragma once

#include <memory>

#include "apps/zeta-server/context.h"
#include "src/http/service.h"

namespace zeta::server {

// What the metrics port serves: the models' figures and those of text generation.
std::shared_ptr<const http::Service> make_metrics_service(const Context& context, const http::Limits& limits);

}  // namespace zeta::server
