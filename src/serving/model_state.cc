#include "src/serving/model_state.h"

#include "src/base/concat.h"

namespace zeta::serving {
namespace {

std::string_view code_name(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kNotFound:
      return "Not found";
    case absl::StatusCode::kAlreadyExists:
      return "Already exists";
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kResourceExhausted:
      return "Unavailable";
    case absl::StatusCode::kUnimplemented:
      return "Unsupported";
    case absl::StatusCode::kInternal:
      return "Internal";
    case absl::StatusCode::kUnknown:
      return "Unknown";
    default:
      return "Invalid argument";
  }
}

}  // namespace

std::string_view model_state_name(ModelState state) {
  switch (state) {
    case ModelState::kUnknown:
      return "";
    case ModelState::kLoading:
      return "LOADING";
    case ModelState::kReady:
      return "READY";
    case ModelState::kUnloading:
      return "UNLOADING";
    case ModelState::kUnavailable:
      return "UNAVAILABLE";
  }
  return "";
}

std::string reason_text(const absl::Status& status) {
  return concat(code_name(status.code()), ": ", std::string(status.message()));
}

}  // namespace zeta::serving
