#include "src/backends/torch/execution.h"

#include <c10/util/Exception.h>
#include <malloc.h>

#include <exception>
#include <new>

#include "src/backends/torch/device.h"
#include "src/base/concat.h"

namespace zeta::torch_backend {
namespace {

absl::Status failure(std::string_view what) {
  return absl::InternalError(concat("PyTorch execute failure: ", what));
}

}  // namespace

MemoryTrim::~MemoryTrim() {
  ::malloc_trim(0);
  give_back_gpu_memory();
}

absl::StatusOr<serving::BatchResult> guarded(
    const std::function<absl::StatusOr<serving::BatchResult>()>& execute) try {
  return execute();
} catch (const c10::OutOfMemoryError& error) {
  return failure(concat("out of memory: ", error.what_without_backtrace()));
} catch (const c10::Error& error) {
  return failure(error.what_without_backtrace());
} catch (const std::bad_alloc&) {
  return failure("out of memory");
} catch (const std::exception& error) {
  return failure(error.what());
}

absl::StatusOr<std::unique_ptr<serving::Executable>> guarded_load(
    const std::string& path,
    const std::function<absl::StatusOr<std::unique_ptr<serving::Executable>>()>& load) try {
  return load();
} catch (const c10::Error& error) {
  return absl::InvalidArgumentError(concat("cannot load ", path, ": ", error.what_without_backtrace()));
} catch (const std::bad_alloc&) {
  return absl::ResourceExhaustedError(concat("cannot load ", path, ": no memory for the model"));
} catch (const std::exception& error) {
  return absl::InvalidArgumentError(concat("cannot load ", path, ": ", error.what()));
}

}  // namespace zeta::torch_backend
