// Parameters of a PyTorch model, under the names of Triton's backend. Values are true or false, or a number.
//
//   DISABLE_OPTIMIZED_EXECUTION  TorchScript's graph runs as it was written                          false
//   INFERENCE_MODE               no autograd and no version counters                                 true
//   DISABLE_CUDNN                for the whole process                                               false
//   ENABLE_WEIGHT_SHARING        instances on one device share one copy of the weights               false
//   ENABLE_CACHE_CLEANING        give cached GPU memory back after each execution                    false
//   INTRA_OP_THREAD_COUNT        threads of one operator; the first model that says it decides       torch's
//   INTER_OP_THREAD_COUNT        threads for operators side by side; the first model decides         torch's
//   ENABLE_JIT_EXECUTOR          TorchScript's profiling executor; for the whole process             true
//   ENABLE_JIT_PROFILING         its profiling of shapes; for the whole process                      true
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "src/serving/backend.h"

namespace zeta::torch_backend {

struct Settings {
  bool disable_optimized_execution = false;
  bool inference_mode = true;
  bool disable_cudnn = false;
  bool enable_weight_sharing = false;
  bool enable_cache_cleaning = false;
  std::optional<int> intra_op_thread_count, inter_op_thread_count;
  std::optional<bool> enable_jit_executor, enable_jit_profiling;
};

// InvalidArgument for an unknown name or a value that it cannot have.
absl::StatusOr<Settings> read_settings(const serving::Parameters& parameters);

// Applies what holds for the whole process. The result, if any, says what another model had already decided.
std::string apply_to_process(const Settings& settings);
// Applies what holds for the calling thread; for a thread that executes models.
void apply_to_thread(const Settings& settings);

}  // namespace zeta::torch_backend
