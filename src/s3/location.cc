#include "src/s3/location.h"

#include <algorithm>

#include "src/base/concat.h"

namespace zeta::s3 {
namespace {

constexpr std::string_view kScheme = "s3://";

absl::Status invalid(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(concat("'", text, "' is no S3 repository: ", why));
}

bool is_bucket(std::string_view name) {
  const auto allowed = [](char letter) {
    return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
           (letter >= '0' && letter <= '9') || letter == '-' || letter == '.' || letter == '_';
  };
  return name.size() >= 3 && name.size() <= 255 && std::ranges::all_of(name, allowed) && name != "..." &&
         name.find("..") == std::string_view::npos;
}

}  // namespace

bool is_location(std::string_view text) { return text.starts_with(kScheme); }

absl::StatusOr<Location> parse_location(std::string_view text) {
  Location location;
  location.text = text;
  std::string_view rest = text.substr(std::min(kScheme.size(), text.size()));
  const bool has_scheme = rest.starts_with("http://") || rest.starts_with("https://");
  const size_t start = has_scheme ? rest.find("://") + 3 : 0;
  const size_t slash = std::min(rest.find('/', start), rest.size());
  const bool has_host = has_scheme || rest.substr(0, slash).find(':') != std::string_view::npos;
  if (has_host) {
    const auto url = http::parse_url(concat(has_scheme ? "" : "http://", rest.substr(0, slash)));
    if (!url.ok()) return invalid(text, std::string(url.status().message()));
    location.endpoint = *url;
    rest = rest.substr(std::min(slash + 1, rest.size()));
  }
  const size_t end = std::min(rest.find('/'), rest.size());
  location.bucket = rest.substr(0, end);
  if (!is_bucket(location.bucket)) {
    return invalid(text, concat("expected the name of a bucket, got '", location.bucket, "'"));
  }
  rest = rest.substr(std::min(end + 1, rest.size()));
  while (rest.ends_with('/')) rest.remove_suffix(1);
  if (!rest.empty()) location.prefix = concat(rest, "/");
  return location;
}

}  // namespace zeta::s3
