// Which handler answers a method and path.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "src/http/message.h"

namespace zeta::http {

// Runs on the connection's executor; must not block. `request` lives until the answer is sent. An exception
// becomes status 500.
using Handler = std::function<asio::awaitable<Response>(Request& request)>;

// A failure of HTTP itself (no such route, oversized body …) in the form that the API of `path` uses.
using ErrorResponder = std::function<Response(std::string_view path, int status, std::string_view message)>;

// What a route does for a connection beyond Limits::connections.
enum class WhenFull { kRefuse, kAnswer };

// Filled at start, then read from any thread.
class Router {
 public:
  // `pattern` is made of literal segments and {name} segments, which match any one segment:
  // "/v2/models/{model}/infer". Of two that match the same, the one that was added first answers.
  // A kAnswer route is for whoever watches the server: it must be cheap, and its connection is closed after.
  void add(std::string_view method, std::string_view pattern, Handler handler,
           WhenFull when_full = WhenFull::kRefuse);

  struct Match {
    const Handler* handler = nullptr;  // null: `status` and `message` say why
    int status = 404;
    std::string message;
    std::string allow;  // for 405: the methods that the path has
    WhenFull when_full = WhenFull::kRefuse;
  };
  // Fills request.path_params. HEAD is served by GET routes.
  Match match(Request& request) const;

 private:
  struct Route {
    std::string method;
    std::vector<std::string> segments;  // "{name}" for parameters
    Handler handler;
    WhenFull when_full;
  };
  std::vector<Route> routes_;
};

}  // namespace zeta::http
