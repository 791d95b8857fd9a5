#include "apps/zeta-server/json.h"

#include <boost/json/monotonic_resource.hpp>
#include <boost/json/stream_parser.hpp>
#include <cmath>

#include "src/base/concat.h"

namespace zeta::server {
namespace {

constexpr size_t kMaxDepth = 32;

bool all_finite(const json::value& value) {
  if (const auto* number = value.if_double()) return std::isfinite(*number);
  if (const auto* array = value.if_array()) {
    for (const auto& element : *array) {
      if (!all_finite(element)) return false;
    }
  } else if (const auto* object = value.if_object()) {
    for (const auto& member : *object) {
      if (!all_finite(member.value())) return false;
    }
  }
  return true;
}

}  // namespace

absl::StatusOr<json::value> parse_json(std::string_view text) {
  json::parse_options options;
  options.max_depth = kMaxDepth;
  // All values of a request live and die together.
  json::stream_parser parser({}, options);
  parser.reset(json::make_shared_resource<json::monotonic_resource>());
  json::error_code error;
  const size_t read = parser.write(text.data(), text.size(), error);
  if (!error) parser.finish(error);
  if (error) {
    return absl::InvalidArgumentError(
        concat("failed to parse the request JSON buffer: ", error.message(), " at ", read));
  }
  json::value value = parser.release();
  if (!all_finite(value)) {
    return absl::InvalidArgumentError("failed to parse the request JSON buffer: a number is out of range");
  }
  return value;
}

}  // namespace zeta::server
