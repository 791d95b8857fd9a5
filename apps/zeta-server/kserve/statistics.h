// What came of a model's requests: Triton's statistics extension.
#pragma once

#include "apps/zeta-server/context.h"
#include "src/http/message.h"

namespace zeta::server::kserve {

// GET /v2/models/MODEL[/versions/VERSION]/stats, and /v2/models/stats of all models.
http::Response model_statistics(const Context& context, const http::Request& request);

}  // namespace zeta::server::kserve
