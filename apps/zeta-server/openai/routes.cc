#include "apps/zeta-server/openai/routes.h"

#include "apps/zeta-server/openai/generate.h"
#include "apps/zeta-server/openai/models.h"

namespace zeta::server::openai {

using http::Request;
using http::Response;
using http::asio::awaitable;

void add_routes(http::Router& router, const std::shared_ptr<const Context>& context) {
  router.add("GET", "/v1/models",
             [context](Request&) -> awaitable<Response> { co_return list_models(*context); });
  router.add("GET", "/v1/models/{model}", [context](Request& request) -> awaitable<Response> {
    co_return describe_model(*context, request);
  });
  router.add("POST", "/v1/completions", [context](Request& request) { return complete(context, request); });
  router.add("POST", "/v1/chat/completions", [context](Request& request) { return chat(context, request); });
}

}  // namespace zeta::server::openai
