#include "apps/zeta-server/restricted_routes.h"

#include <utility>

#include "src/base/concat.h"

namespace zeta::server {
namespace {

using http::Request;
using http::Response;
using http::asio::awaitable;

http::Handler guarded(const AccessRule& rule, const RestrictedRoutes::Refuse& refuse, http::Handler handler) {
  return [rule, refuse, handler = std::move(handler)](Request& request) -> awaitable<Response> {
    if (equal_in_constant_time(request.header(rule.header), rule.value)) {
      co_return co_await handler(request);
    }
    co_return refuse(concat("This API is restricted, expecting header '", rule.header, "'"));
  };
}

http::Handler limited(std::shared_ptr<ClientRate> rate, const RestrictedRoutes::Refuse& refuse,
                      http::Handler handler) {
  return [rate = std::move(rate), refuse,
          handler = std::move(handler)](Request& request) -> awaitable<Response> {
    const absl::Status status = rate->take(request.connection->peer());
    if (status.ok()) co_return co_await handler(request);
    co_return refuse(std::string(status.message()));
  };
}

}  // namespace

RestrictedRoutes::RestrictedRoutes(http::Router& router, const AccessRules& rules, Refuse refuse,
                                   std::shared_ptr<ClientRate> rate, Refuse refuse_rate)
    : router_(router),
      rules_(rules),
      refuse_(std::move(refuse)),
      refuse_rate_(std::move(refuse_rate)),
      rate_(std::move(rate)) {}

void RestrictedRoutes::add(Api api, std::string_view method, std::string_view path, http::Handler handler,
                           http::WhenFull when_full) {
  const bool counted = api == Api::kInference && rate_ != nullptr && rate_->limited();
  if (counted) handler = limited(rate_, refuse_rate_, std::move(handler));
  const AccessRule* rule = rules_.find(api);
  if (rule != nullptr) handler = guarded(*rule, refuse_, std::move(handler));
  router_.add(method, path, std::move(handler), when_full);
}

}  // namespace zeta::server
