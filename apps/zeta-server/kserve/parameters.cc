#include <optional>
#include <utility>

#include "apps/zeta-server/json.h"
#include "apps/zeta-server/kserve/infer_json.h"
#include "src/base/concat.h"

namespace zeta::server::kserve {
namespace {

template <class... Parts>
absl::Status invalid(const Parts&... parts) {
  return absl::InvalidArgumentError(concat(parts...));
}

std::optional<serving::Parameter> to_parameter(const json::value& value) {
  if (value.is_bool()) return value.get_bool();
  if (value.is_int64()) return value.get_int64();
  if (value.is_double()) return value.get_double();
  if (value.is_string()) return std::string(to_view(value.get_string()));
  return std::nullopt;
}

// The types of the parameters that Triton gives a meaning; "" for all others and where they fit.
std::string_view wrong_type(std::string_view name, const serving::Parameter& value) {
  const bool is_integer = std::holds_alternative<int64_t>(value);
  if (name == "sequence_id" && !is_integer && !std::holds_alternative<std::string>(value)) {
    return "an integer or a string";
  }
  if ((name == "sequence_start" || name == "sequence_end") && !std::holds_alternative<bool>(value)) {
    return "a boolean";
  }
  if ((name == "priority" || name == "timeout") && (!is_integer || std::get<int64_t>(value) < 0)) {
    return "an integer of at least 0";
  }
  return "";
}

}  // namespace

absl::StatusOr<serving::Parameters> read_parameters(const json::value& value) {
  const auto* object = value.if_object();
  if (object == nullptr) return invalid("Unable to parse 'parameters': expected an object");
  serving::Parameters parameters;
  for (const auto& member : *object) {
    const std::string name(member.key());
    if (name == "triton_enable_empty_final_response") continue;  // of streams: there are none here
    if (name.starts_with("triton_")) {
      return invalid(
          "parameter keys starting with 'triton_' are reserved for Triton usage. Only the following keys "
          "starting with 'triton_' are allowed: triton_enable_empty_final_response");
    }
    auto parameter = to_parameter(member.value());
    if (!parameter) return invalid("parameter '", name, "' must be a string, a number or a boolean");
    const std::string_view expected = wrong_type(name, *parameter);
    if (!expected.empty()) return invalid("Unable to parse '", name, "': expected ", expected);
    parameters.emplace(name, *std::move(parameter));
  }
  return parameters;
}

}  // namespace zeta::server::kserve
