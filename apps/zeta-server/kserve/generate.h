// POST /v2/models/MODEL[/versions/VERSION]/generate and /generate_stream: tensors as plain JSON members.
#pragma once

#include <memory>

#include "apps/zeta-server/context.h"
#include "src/http/message.h"

namespace zeta::server::kserve {

// One JSON object as answer. A model that gives text in pieces (an output named text_output) has them joined;
// any other must answer with exactly one response, as in Triton.
http::asio::awaitable<http::Response> generate(std::shared_ptr<const Context> context,
                                               http::Request& request);

// A server-sent event with one JSON object for each response.
http::asio::awaitable<http::Response> generate_stream(std::shared_ptr<const Context> context,
                                                      http::Request& request);

}  // namespace zeta::server::kserve
