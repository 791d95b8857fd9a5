#include "apps/zeta-server/kserve/routes.h"

#include <string>

#include "apps/zeta-server/kserve/generate.h"
#include "apps/zeta-server/kserve/infer.h"
#include "apps/zeta-server/kserve/models.h"
#include "apps/zeta-server/kserve/repository.h"
#include "apps/zeta-server/kserve/statistics.h"

namespace zeta::server::kserve {
namespace {

using http::Request;
using http::Response;
using http::asio::awaitable;

// A handler for what can be answered at once.
template <class Answer>
http::Handler at_once(Answer answer) {
  return [answer](Request& request) -> awaitable<Response> { co_return answer(request); };
}

void add_repository_routes(http::Router& router, const std::shared_ptr<const Context>& context) {
  for (const std::string path : {"/v2/repository", "/v2/repository/{repository}"}) {
    router.add("POST", path + "/index",
               at_once([context](Request& request) { return repository_index(*context, request); }));
    router.add("POST", path + "/models/{model}/load",
               [context](Request& request) { return load_model(context, request); });
    router.add("POST", path + "/models/{model}/unload",
               [context](Request& request) { return unload_model(context, request); });
  }
}

}  // namespace

void add_routes(http::Router& router, const std::shared_ptr<const Context>& context) {
  router.add("GET", "/v2", at_once([](Request&) { return server_metadata(); }));
  const auto ready = at_once([context](Request&) { return server_ready(*context); });
  router.add("GET", "/v2/health/live", at_once([](Request&) { return server_live(); }),
             http::WhenFull::kAnswer);
  router.add("GET", "/v2/health/ready", ready, http::WhenFull::kAnswer);
  router.add("GET", "/health", ready, http::WhenFull::kAnswer);
  add_repository_routes(router, context);
  router.add("GET", "/v2/models/stats",
             at_once([context](Request& request) { return model_statistics(*context, request); }));
  for (const std::string path : {"/v2/models/{model}", "/v2/models/{model}/versions/{version}"}) {
    router.add("GET", path,
               at_once([context](Request& request) { return model_metadata(*context, request); }));
    router.add("GET", path + "/ready",
               at_once([context](Request& request) { return model_ready(*context, request); }));
    router.add("GET", path + "/config",
               at_once([context](Request& request) { return model_config(*context, request); }));
    router.add("GET", path + "/stats",
               at_once([context](Request& request) { return model_statistics(*context, request); }));
    router.add("POST", path + "/infer", [context](Request& request) { return infer(context, request); });
    router.add("POST", path + "/generate",
               [context](Request& request) { return generate(context, request); });
    router.add("POST", path + "/generate_stream",
               [context](Request& request) { return generate_stream(context, request); });
  }
}

}  // namespace zeta::server::kserve
