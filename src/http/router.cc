#include "src/http/router.h"

#include <utility>

namespace zeta::http {
namespace {

std::vector<std::string_view> split(std::string_view path) {
  std::vector<std::string_view> segments;
  if (!path.empty() && path.front() == '/') path.remove_prefix(1);
  for (size_t end = path.find('/'); end != std::string_view::npos; end = path.find('/')) {
    segments.push_back(path.substr(0, end));
    path.remove_prefix(end + 1);
  }
  segments.push_back(path);  // empty behind a final slash, which therefore counts
  return segments;
}

bool is_parameter(std::string_view segment) { return segment.starts_with('{'); }

bool fits(const std::vector<std::string>& pattern, const std::vector<std::string_view>& path) {
  if (pattern.size() != path.size()) return false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (!is_parameter(pattern[i]) && pattern[i] != path[i]) return false;
  }
  return true;
}

// False when a parameter cannot be decoded.
bool bind(const std::vector<std::string>& pattern, const std::vector<std::string_view>& path,
          Request& request) {
  request.path_params.clear();
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (!is_parameter(pattern[i])) continue;
    std::string value;
    if (!percent_decode(path[i], value)) return false;
    request.path_params.emplace_back(pattern[i].substr(1, pattern[i].size() - 2), std::move(value));
  }
  return true;
}

}  // namespace

void Router::add(std::string_view method, std::string_view pattern, Handler handler, WhenFull when_full) {
  Route route{std::string(method), {}, std::move(handler), when_full};
  for (std::string_view segment : split(pattern)) route.segments.emplace_back(segment);
  routes_.push_back(std::move(route));
}

Router::Match Router::match(Request& request) const {
  const auto path = split(request.path);
  const std::string_view method = request.method == "HEAD" ? "GET" : std::string_view(request.method);
  Match miss;
  for (const Route& route : routes_) {
    if (!fits(route.segments, path)) continue;
    if (route.method != method) {
      miss.allow += (miss.allow.empty() ? "" : ", ") + route.method;
      continue;
    }
    if (!bind(route.segments, path, request)) {
      return {nullptr, 400, "the path is not percent-encoded UTF-8", ""};
    }
    return {&route.handler, 200, "", "", route.when_full};
  }
  if (!miss.allow.empty()) {
    miss.status = 405;
    miss.message = "Method Not Allowed";
  } else {
    miss.message = "Not Found: no route for " + request.path;
  }
  return miss;
}

}  // namespace zeta::http
