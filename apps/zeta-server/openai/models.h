// GET /v1/models and /v1/models/MODEL.
#pragma once

#include "apps/zeta-server/context.h"
#include "src/http/message.h"

namespace zeta::server::openai {

http::Response list_models(const Context& context);
http::Response describe_model(const Context& context, const http::Request& request);

}  // namespace zeta::server::openai
