#include "apps/zeta-server/openai/routes.h"

#include <string>

#include "apps/zeta-server/openai/error.h"
#include "apps/zeta-server/openai/generate.h"
#include "apps/zeta-server/openai/models.h"
#include "apps/zeta-server/restricted_routes.h"

namespace zeta::server::openai {

using http::Request;
using http::Response;
using http::asio::awaitable;

void add_routes(http::Router& router, const std::shared_ptr<const Context>& context) {
  const auto refuse_with = [](int status) {
    return [status](const std::string& message) { return error_response(ApiError(status, message, "", "")); };
  };
  RestrictedRoutes routes(router, context->http_access, refuse_with(403), context->client_rate,
                          refuse_with(429));
  routes.add(Api::kMetadata, "GET", "/v1/models",
             [context](Request&) -> awaitable<Response> { co_return list_models(*context); });
  routes.add(Api::kMetadata, "GET", "/v1/models/{model}", [context](Request& request) -> awaitable<Response> {
    co_return describe_model(*context, request);
  });
  routes.add(Api::kInference, "POST", "/v1/completions",
             [context](Request& request) { return complete(context, request); });
  routes.add(Api::kInference, "POST", "/v1/chat/completions",
             [context](Request& request) { return chat(context, request); });
}

}  // namespace zeta::server::openai
