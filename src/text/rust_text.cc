#include "src/text/rust_text.h"

namespace zeta::text {

namespace {

absl::StatusCode code_of(zeta_text_status status) {
  switch (status) {
    case ZETA_TEXT_INVALID_ARGUMENT:
      return absl::StatusCode::kInvalidArgument;
    case ZETA_TEXT_RESOURCE_EXHAUSTED:
      return absl::StatusCode::kResourceExhausted;
    default:
      return absl::StatusCode::kInternal;
  }
}

}  // namespace

absl::Status rust_failure(zeta_text_status status, const RustText& message, const std::string& where) {
  const std::string prefix = where.empty() ? "" : where + ": ";
  return {code_of(status), prefix + std::string(message.view())};
}

}  // namespace zeta::text
