// What the two kinds of models share when they execute.
#pragma once

#include <ATen/core/grad_mode.h>
#include <c10/core/InferenceMode.h>

#include <functional>

#include "absl/status/statusor.h"
#include "src/backends/torch/settings.h"
#include "src/serving/backend.h"

namespace zeta::torch_backend {

// No autograd while it lives; without version counters too, if the settings say so.
class ExecutionMode {
 public:
  explicit ExecutionMode(const Settings& settings) : inference_(settings.inference_mode) {}

 private:
  const at::NoGradGuard no_grad_;
  const c10::InferenceMode inference_;
};

// Gives freed memory back to the system, and to the GPUs, when it ends. As the first member of a model it
// ends last: weights that came and went would else stay with the process, in pieces, and so would graphs'
// pools, which serve no other graph.
class MemoryTrim {
 public:
  MemoryTrim() = default;
  ~MemoryTrim();
  MemoryTrim(const MemoryTrim&) = delete;
  MemoryTrim& operator=(const MemoryTrim&) = delete;
};

// Runs `execute`; whatever torch throws, out of memory included, is Internal with Triton's text.
absl::StatusOr<serving::BatchResult> guarded(
    const std::function<absl::StatusOr<serving::BatchResult>()>& execute);

// Runs `load`; what torch throws is InvalidArgument and names the file.
absl::StatusOr<std::unique_ptr<serving::Executable>> guarded_load(
    const std::string& path,
    const std::function<absl::StatusOr<std::unique_ptr<serving::Executable>>()>& load);

}  // namespace zeta::torch_backend
