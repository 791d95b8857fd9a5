// JSON that comes from outside.
#pragma once

#include <boost/json/value.hpp>
#include <string_view>

#include "absl/status/statusor.h"

namespace zeta::server {

namespace json = boost::json;

// Strict RFC 8259: UTF-8, no NaN, nested at most 32 deep, numbers within the range of double. The value owns
// its memory. InvalidArgument says what is wrong and at which byte.
absl::StatusOr<json::value> parse_json(std::string_view text);

// Views between the string types: Boost.JSON's own is not convertible in both directions.
inline std::string_view to_view(const json::string& text) { return {text.data(), text.size()}; }

}  // namespace zeta::server
