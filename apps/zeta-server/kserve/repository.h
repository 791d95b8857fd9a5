// Which models there are, and loading and unloading them: Triton's model_repository extension.
#pragma once

#include <memory>
#include <string_view>

#include "apps/zeta-server/context.h"
#include "src/http/message.h"

namespace zeta::server::kserve {

// POST /v2/repository[/REPOSITORY]/index, with {"ready": true} of those that answer.
http::Response repository_index(const Context& context, const http::Request& request);

// POST /v2/repository/models/MODEL/load, with {"parameters": {"config": JSON, "file:PATH": base64}}. Answers
// when the model is READY, or with why it is not.
http::asio::awaitable<http::Response> load_model(std::shared_ptr<const Context> context,
                                                 http::Request& request);
// POST …/unload, with {"parameters": {"unload_dependents": true}}
http::asio::awaitable<http::Response> unload_model(std::shared_ptr<const Context> context,
                                                   http::Request& request);

// What a load request's body gives in place of files; "" gives nothing.
absl::StatusOr<serving::LoadOverrides> read_overrides(std::string_view body);

}  // namespace zeta::server::kserve
