#include "src/serving/scheduling/sequence_identity.h"

#include "src/base/concat.h"

namespace zeta::serving {
namespace {

absl::StatusOr<bool> flag(const InferRequest& request, const std::string& name) {
  const auto found = request.parameters.find(name);
  if (found == request.parameters.end()) return false;
  if (const auto* value = std::get_if<bool>(&found->second)) return *value;
  return absl::InvalidArgumentError(concat("parameter '", name, "' must be true or false"));
}

}  // namespace

std::string SequenceIdentity::text() const {
  if (const auto* number = std::get_if<int64_t>(&id)) return std::to_string(*number);
  return concat("'", std::get<std::string>(id), "'");
}

absl::StatusOr<SequenceIdentity> sequence_identity(const InferRequest& request, const std::string& model) {
  SequenceIdentity identity;
  const auto id = request.parameters.find("sequence_id");
  const Parameter* value = id == request.parameters.end() ? nullptr : &id->second;
  const auto* number = value == nullptr ? nullptr : std::get_if<int64_t>(value);
  const auto* text = value == nullptr ? nullptr : std::get_if<std::string>(value);
  if (number != nullptr && *number != 0) {
    identity.id = *number;
  } else if (text != nullptr && !text->empty()) {
    identity.id = *text;
  } else if (value != nullptr && number == nullptr && text == nullptr) {
    return absl::InvalidArgumentError("parameter 'sequence_id' must be an integer or a string");
  } else {
    return absl::InvalidArgumentError(concat("inference request to model '", model,
                                             "' must specify a non-zero or non-empty correlation ID"));
  }
  const auto start = flag(request, "sequence_start");
  const auto end = flag(request, "sequence_end");
  if (!start.ok() || !end.ok()) return start.ok() ? end.status() : start.status();
  identity.start = *start;
  identity.end = *end;
  return identity;
}

}  // namespace zeta::serving
