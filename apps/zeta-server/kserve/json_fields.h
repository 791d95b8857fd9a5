// Members of JSON objects, with Triton's complaints.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace zeta::server::kserve {

// InvalidArgument names the member when it is missing or no string.
absl::StatusOr<std::string> read_string(const boost::json::object& object, std::string_view key);

// Nothing when it is missing; InvalidArgument when it is no integer ≥ 0.
absl::StatusOr<std::optional<uint64_t>> read_size(const boost::json::object& object, std::string_view key);

// An empty object when it is missing; InvalidArgument when it is no object. Lives as long as `object`.
absl::StatusOr<const boost::json::object*> read_object(const boost::json::object& object,
                                                       std::string_view key);

}  // namespace zeta::server::kserve
