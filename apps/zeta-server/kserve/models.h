// What the server and its models are, and whether they are ready.
#pragma once

#include "apps/zeta-server/context.h"
#include "src/http/message.h"

namespace zeta::server::kserve {

http::Response server_metadata(const Context& context);                               // GET /v2
http::Response server_live();                                                         // GET /v2/health/live
http::Response server_ready(const Context& context);                                  // GET /v2/health/ready
http::Response model_ready(const Context& context, const http::Request& request);     // GET …/ready
http::Response model_metadata(const Context& context, const http::Request& request);  // GET /v2/models/MODEL
http::Response model_config(const Context& context, const http::Request& request);    // GET …/config

}  // namespace zeta::server::kserve
