// What state a version of a model is in.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace zeta::serving {

enum class ModelState {
  kUnknown,  // in a repository, never loaded
  kLoading,
  kReady,
  kUnloading,    // no request finds it any more, and some are under way
  kUnavailable,  // cannot be loaded, or was unloaded
};

// "", "LOADING", "READY", "UNLOADING", "UNAVAILABLE".
std::string_view model_state_name(ModelState state);

struct ModelStatus {
  std::string name;
  std::string version;  // "": of a model that was never loaded
  std::string backend;
  ModelState state;
  std::string reason;  // why it is unavailable
};

// Why a model is unavailable, in Triton's manner: "Invalid argument: …".
std::string reason_text(const absl::Status& status);

}  // namespace zeta::serving
