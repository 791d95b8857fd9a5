// Backends in shared objects.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "src/serving/backend.h"

namespace zeta::serving {

// Opens `directory`/libzeta_backend_`name`.so and makes its backend. NotFound names the file and the backends
// that the directory does have; FailedPrecondition carries the loader's complaint. The library is opened with
// RTLD_LOCAL, so that what it links (torch, protobuf …) stays its own, and is never closed, because libraries
// with threads and thread-local data cannot be unloaded safely.
absl::StatusOr<std::unique_ptr<Backend>> open_backend(const std::string& directory, std::string_view name);

}  // namespace zeta::serving
