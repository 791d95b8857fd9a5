#include "apps/zeta-server/kserve/routes.h"

#include <string>

#include "apps/zeta-server/kserve/error.h"
#include "apps/zeta-server/kserve/generate.h"
#include "apps/zeta-server/kserve/infer.h"
#include "apps/zeta-server/kserve/models.h"
#include "apps/zeta-server/kserve/operations.h"
#include "apps/zeta-server/kserve/repository.h"
#include "apps/zeta-server/kserve/statistics.h"
#include "apps/zeta-server/restricted_routes.h"

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

void add_server_routes(RestrictedRoutes& routes, const std::shared_ptr<const Context>& context) {
  const auto ready = at_once([context](Request&) { return server_ready(*context); });
  routes.add(Api::kMetadata, "GET", "/v2",
             at_once([context](Request&) { return server_metadata(*context); }));
  routes.add(Api::kHealth, "GET", "/v2/health/live", at_once([](Request&) { return server_live(); }),
             http::WhenFull::kAnswer);
  routes.add(Api::kHealth, "GET", "/v2/health/ready", ready, http::WhenFull::kAnswer);
  routes.add(Api::kHealth, "GET", "/health", ready, http::WhenFull::kAnswer);
  routes.add(Api::kStatistics, "GET", "/v2/models/stats",
             at_once([context](Request& request) { return model_statistics(*context, request); }));
  for (const std::string method : {"GET", "POST"}) {
    routes.add(Api::kLogging, method, "/v2/logging",
               at_once([](Request& request) { return logging(request); }));
    for (const std::string path : {"/v2/trace/setting", "/v2/models/{model}/trace/setting"}) {
      routes.add(Api::kTrace, method, path,
                 at_once([context](Request& request) { return trace_setting(*context, request); }));
    }
  }
}

void add_repository_routes(RestrictedRoutes& routes, const std::shared_ptr<const Context>& context) {
  const Api api = Api::kModelRepository;
  for (const std::string path : {"/v2/repository", "/v2/repository/{repository}"}) {
    routes.add(api, "POST", path + "/index",
               at_once([context](Request& request) { return repository_index(*context, request); }));
    routes.add(api, "POST", path + "/models/{model}/load",
               [context](Request& request) { return load_model(context, request); });
    routes.add(api, "POST", path + "/models/{model}/unload",
               [context](Request& request) { return unload_model(context, request); });
  }
}

void add_shared_memory_routes(RestrictedRoutes& routes, const std::shared_ptr<const Context>& context) {
  const std::string system = "/v2/systemsharedmemory", cuda = "/v2/cudasharedmemory";
  using Handler = http::Response (*)(const Context&, const http::Request&);
  const auto add = [&](const char* method, const std::string& path, Handler handler) {
    routes.add(Api::kSharedMemory, method, path,
               at_once([context, handler](Request& request) { return handler(*context, request); }));
  };
  for (const char* region : {"", "/region/{region}"}) {
    add("GET", system + region + "/status", system_shared_memory_status);
    add("POST", system + region + "/unregister", unregister_system_shared_memory);
    add("GET", cuda + region + "/status", cuda_shared_memory_status);
    add("POST", cuda + region + "/unregister", unregister_cuda_shared_memory);
  }
  add("POST", system + "/region/{region}/register", register_system_shared_memory);
  add("POST", cuda + "/region/{region}/register", register_cuda_shared_memory);
}

void add_model_routes(RestrictedRoutes& routes, const std::shared_ptr<const Context>& context) {
  for (const std::string path : {"/v2/models/{model}", "/v2/models/{model}/versions/{version}"}) {
    routes.add(Api::kMetadata, "GET", path,
               at_once([context](Request& request) { return model_metadata(*context, request); }));
    routes.add(Api::kHealth, "GET", path + "/ready",
               at_once([context](Request& request) { return model_ready(*context, request); }));
    routes.add(Api::kModelConfig, "GET", path + "/config",
               at_once([context](Request& request) { return model_config(*context, request); }));
    routes.add(Api::kStatistics, "GET", path + "/stats",
               at_once([context](Request& request) { return model_statistics(*context, request); }));
    routes.add(Api::kInference, "POST", path + "/infer",
               [context](Request& request) { return infer(context, request); });
    routes.add(Api::kInference, "POST", path + "/generate",
               [context](Request& request) { return generate(context, request); });
    routes.add(Api::kInference, "POST", path + "/generate_stream",
               [context](Request& request) { return generate_stream(context, request); });
  }
}

}  // namespace

void add_routes(http::Router& router, const std::shared_ptr<const Context>& context) {
  RestrictedRoutes routes(
      router, context->http_access, [](const std::string& message) { return error_response(403, message); },
      context->client_rate, [](const std::string& message) { return error_response(429, message); });
  add_server_routes(routes, context);
  add_repository_routes(routes, context);
  add_shared_memory_routes(routes, context);
  add_model_routes(routes, context);
}

}  // namespace zeta::server::kserve
