#include <charconv>

#include "src/base/concat.h"
#include "src/http/client.h"

namespace zeta::http {
namespace {

constexpr uint16_t kHttp = 80, kHttps = 443;

absl::Status invalid(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(concat("'", text, "' is no URL that can be asked: ", why));
}

}  // namespace

std::string Url::authority() const {
  const bool is_ipv6 = host.find(':') != std::string::npos;
  std::string text = is_ipv6 ? concat("[", host, "]") : host;
  if (port != (tls ? kHttps : kHttp)) text += concat(":", port);
  return text;
}

absl::StatusOr<Url> parse_url(std::string_view text) {
  Url url;
  std::string_view rest = text;
  if (rest.starts_with("https://")) {
    url.tls = true;
    rest.remove_prefix(8);
  } else if (rest.starts_with("http://")) {
    rest.remove_prefix(7);
  } else {
    return invalid(text, "expected http:// or https://");
  }
  const size_t slash = rest.find_first_of("/?#");
  std::string_view authority = rest.substr(0, slash);
  url.path = slash == std::string_view::npos ? "/" : std::string(rest.substr(slash));
  if (!url.path.starts_with('/') || url.path.find_first_of("?# ") != std::string::npos) {
    return invalid(text, "expected a path without query or fragment");
  }
  std::string_view port;
  if (authority.starts_with('[')) {
    const size_t end = authority.find(']');
    if (end == std::string_view::npos) return invalid(text, "'[' without ']'");
    url.host = authority.substr(1, end - 1);
    port = authority.substr(end + 1);
  } else {
    const size_t colon = authority.find(':');
    url.host = authority.substr(0, colon);
    port = colon == std::string_view::npos ? "" : authority.substr(colon);
  }
  if (url.host.empty() || url.host.find_first_of("@ ") != std::string::npos) return invalid(text, "no host");
  url.port = url.tls ? kHttps : kHttp;
  if (port.empty()) return url;
  const char* const end = port.data() + port.size();
  if (std::from_chars(port.data() + 1, end, url.port) == std::from_chars_result{end, {}} && url.port != 0 &&
      port.front() == ':') {
    return url;
  }
  return invalid(text, concat("expected a port from 1 to 65535, got '", port.substr(1), "'"));
}

}  // namespace zeta::http
