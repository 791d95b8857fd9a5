// POST /v1/completions and /v1/chat/completions.
#pragma once

#include <memory>

#include "apps/zeta-server/context.h"
#include "src/http/message.h"

namespace zeta::server::openai {

http::asio::awaitable<http::Response> complete(std::shared_ptr<const Context> context,
                                               http::Request& request);
http::asio::awaitable<http::Response> chat(std::shared_ptr<const Context> context, http::Request& request);

}  // namespace zeta::server::openai
