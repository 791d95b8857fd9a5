#include "apps/zeta-server/kserve/json_fields.h"

#include "apps/zeta-server/json.h"
#include "src/base/concat.h"

namespace zeta::server::kserve {
namespace {

absl::Status expected(std::string_view key, std::string_view what) {
  return absl::InvalidArgumentError(concat("Unable to parse '", key, "': expected ", what));
}

}  // namespace

absl::StatusOr<std::string> read_string(const json::object& object, std::string_view key) {
  const auto* value = object.if_contains(key);
  if (value == nullptr || !value->is_string()) return expected(key, "a string");
  return std::string(to_view(value->get_string()));
}

absl::StatusOr<std::optional<uint64_t>> read_size(const json::object& object, std::string_view key) {
  const auto* value = object.if_contains(key);
  if (value == nullptr) return std::nullopt;
  if (const auto* number = value->if_uint64()) return *number;
  const auto* number = value->if_int64();
  if (number == nullptr || *number < 0) return expected(key, "an integer of at least 0");
  return static_cast<uint64_t>(*number);
}

absl::StatusOr<const json::object*> read_object(const json::object& object, std::string_view key) {
  static const auto* empty = new json::object;
  const auto* value = object.if_contains(key);
  if (value == nullptr) return empty;
  if (!value->is_object()) return expected(key, "an object");
  return &value->get_object();
}

}  // namespace zeta::server::kserve
