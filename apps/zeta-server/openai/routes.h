// The OpenAI API under /v1 (https://platform.openai.com/docs/api-reference).
#pragma once

#include <memory>

#include "apps/zeta-server/context.h"
#include "src/http/router.h"

namespace zeta::server::openai {

void add_routes(http::Router& router, const std::shared_ptr<const Context>& context);

}  // namespace zeta::server::openai
