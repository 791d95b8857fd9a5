// GET /metrics
#pragma once

#include <memory>

#include "apps/zeta-server/context.h"
#include "apps/zeta-server/options.h"
#include "src/http/service.h"

namespace zeta::server {

// What the metrics port serves: the figures of the models, of text generation and, unless the options say
// otherwise, of the GPUs.
std::shared_ptr<const http::Service> make_metrics_service(const Context& context, const Options& options);

}  // namespace zeta::server
