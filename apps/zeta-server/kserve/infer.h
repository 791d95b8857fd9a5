// POST /v2/models/MODEL[/versions/VERSION]/infer
#pragma once

#include <memory>

#include "apps/zeta-server/context.h"
#include "src/http/message.h"

namespace zeta::server::kserve {

http::asio::awaitable<http::Response> infer(std::shared_ptr<const Context> context, http::Request& request);

// The model that a request's path names; NotFound and InvalidArgument carry Triton's texts.
absl::StatusOr<std::shared_ptr<serving::ServedModel>> find_model(const Context& context,
                                                                 const http::Request& request);

}  // namespace zeta::server::kserve
