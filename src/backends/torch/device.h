// Where an instance computes.
#pragma once

#include <c10/core/Device.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "src/backends/torch/cuda.h"
#include "src/serving/backend.h"

namespace zeta::torch_backend {

// torch's CUDA half and ours, opened by the first call; null where one is missing: a torch without CUDA, or a
// backend that was built with one. Until then torch knows no operator for a GPU, and can open no package
// that was compiled for one. Thread-safe.
Cuda* cuda();

// FailedPrecondition when a GPU is wanted that is not there. kModel has no device of its own: the CPU, where
// its inputs are put.
absl::StatusOr<at::Device> device_of(const serving::Placement& placement);

// Gives what torch keeps for later use back to the GPUs, where any is in use, and pinned memory to the
// system. Never throws.
void give_back_gpu_memory();

// A device together with its queues.
struct Place {
  at::Device device{at::kCPU};
  std::unique_ptr<CudaQueue> compute;  // null on the CPU
  std::unique_ptr<CudaQueue> copy;     // for outputs; null: they leave on `compute`
};
absl::StatusOr<Place> make_place(const serving::Placement& placement, const serving::CudaOptions& options);

}  // namespace zeta::torch_backend
