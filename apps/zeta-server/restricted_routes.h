// HTTP routes that --http-restricted-api may close.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "apps/zeta-server/access.h"
#include "apps/zeta-server/client_rate.h"
#include "src/http/router.h"

namespace zeta::server {

// Adds routes to a router, each of an API that may need a header.
class RestrictedRoutes {
 public:
  // The answer to a request without the header, in the words and form of the API.
  using Refuse = std::function<http::Response(const std::string& message)>;

  // `router` and `rules` outlive this, not the handlers.
  // `rate`: of inference requests; `refuse_rate` answers what is beyond it.
  RestrictedRoutes(http::Router& router, const AccessRules& rules, Refuse refuse,
                   std::shared_ptr<ClientRate> rate, Refuse refuse_rate);

  void add(Api api, std::string_view method, std::string_view path, http::Handler handler,
           http::WhenFull when_full = http::WhenFull::kRefuse);

 private:
  http::Router& router_;
  const AccessRules& rules_;
  const Refuse refuse_, refuse_rate_;
  const std::shared_ptr<ClientRate> rate_;
};

}  // namespace zeta::server
