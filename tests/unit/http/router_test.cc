#include "src/http/router.h"

#include <gtest/gtest.h>

#include <string>

namespace zeta::http {
namespace {

Router make_router() {
  Router router;
  const Handler handler = [](Request&) -> asio::awaitable<Response> { co_return Response{}; };
  router.add("GET", "/v2/models/{model}", handler);
  router.add("POST", "/v2/models/{model}", handler);
  router.add("POST", "/v2/models/{model}/versions/{version}/infer", handler);
  router.add("GET", "/v2/health/live", handler);
  return router;
}

Router::Match match(const std::string& method, const std::string& path, Request& request) {
  static const Router router = make_router();
  request.method = method;
  request.path = path;
  return router.match(request);
}

int status(const std::string& method, const std::string& path) {
  Request request;
  const auto found = match(method, path, request);
  return found.handler == nullptr ? found.status : 200;
}

TEST(Router, BindsParameters) {
  Request request;
  ASSERT_NE(match("POST", "/v2/models/a%20b/versions/7/infer", request).handler, nullptr);
  EXPECT_EQ(request.path_param("model"), "a b");
  EXPECT_EQ(request.path_param("version"), "7");
}

TEST(Router, TellsWrongMethodFromWrongPath) {
  EXPECT_EQ(status("GET", "/v2/models/m"), 200);
  EXPECT_EQ(status("HEAD", "/v2/models/m"), 200);
  EXPECT_EQ(status("GET", "/v2/nothing"), 404);
  EXPECT_EQ(status("GET", "/v2/models/m/"), 404);
  EXPECT_EQ(status("GET", ""), 404);
  EXPECT_EQ(status("GET", "/v2/models/%ff"), 400);
  Request request;
  const auto found = match("DELETE", "/v2/models/m", request);
  EXPECT_EQ(found.status, 405);
  EXPECT_EQ(found.allow, "GET, POST");
}

}  // namespace
}  // namespace zeta::http
