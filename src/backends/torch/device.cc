#include "src/backends/torch/device.h"

#include <ATen/DeviceAccelerator.h>
#include <ATen/core/CachingHostAllocator.h>
#include <dlfcn.h>

#include <atomic>
#include <exception>

#include "src/base/concat.h"

namespace zeta::torch_backend {
namespace {

std::atomic<bool> gpu_in_use{false};

Cuda* open_cuda() {
  // Global: what a compiled package needs of it is found by name.
  if (dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) == nullptr) return nullptr;
  void* ours = dlopen("libzeta_torch_cuda.so", RTLD_NOW | RTLD_LOCAL);
  if (ours == nullptr) return nullptr;
  dlopen("libzeta_ops_cuda.so", RTLD_NOW | RTLD_GLOBAL);  // only in some builds
  auto* make = reinterpret_cast<decltype(&zeta_torch_cuda)>(dlsym(ours, "zeta_torch_cuda"));
  return make == nullptr ? nullptr : make();
}

}  // namespace

Cuda* cuda() {
  static Cuda* const opened = open_cuda();
  return opened;
}

absl::StatusOr<at::Device> device_of(const serving::Placement& placement) {
  if (placement.kind == serving::Placement::Kind::kModel) cuda();  // its file may ask for a GPU
  if (placement.kind != serving::Placement::Kind::kGpu) return at::Device(at::kCPU);
  if (cuda() == nullptr) {
    return absl::FailedPreconditionError(
        concat("instance ", placement.name, " wants GPU ", placement.device,
               ", but this build of the backend, or its torch, has no CUDA; use kind: KIND_CPU"));
  }
  const int gpus = cuda()->device_count();
  if (placement.device >= 0 && placement.device < gpus) {
    return at::Device(at::kCUDA, static_cast<at::DeviceIndex>(placement.device));
  }
  return absl::FailedPreconditionError(concat("instance ", placement.name, " wants GPU ", placement.device,
                                              ", but torch sees ", gpus, " GPUs; use kind: KIND_CPU"));
}

void give_back_gpu_memory() {
  if (!gpu_in_use) return;
  try {
    at::accelerator::emptyCache();
    at::getHostAllocator(at::kCUDA)->empty_cache();
  } catch (const std::exception&) {
    // The GPU has failed for good; the next request will say so.
  }
}

absl::StatusOr<Place> make_place(const serving::Placement& placement, const serving::CudaOptions& options) {
  const auto device = device_of(placement);
  if (!device.ok()) return device.status();
  Place place;
  place.device = *device;
  if (!device->is_cuda()) return place;
  gpu_in_use = true;
  place.compute = cuda()->make_queue(placement.device, options.busy_wait_events);
  if (options.output_copy_stream) place.copy = cuda()->make_queue(placement.device, options.busy_wait_events);
  return place;
}

}  // namespace zeta::torch_backend
