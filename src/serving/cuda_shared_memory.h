// Memory of a GPU that another process has exported (Triton's CUDA shared memory extension).
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "src/serving/shared_memory_range.h"

namespace zeta::serving {

struct CudaSharedMemoryRegion {
  std::string name;
  std::string raw_handle;  // the bytes of a cudaIpcMemHandle_t
  int64_t device_id = 0;
  uint64_t byte_size = 0;
};

// The region's bytes, which are copied through the host. Unimplemented, in Triton's words, where there is no
// GPU; InvalidArgument, as Triton does, when the handle cannot be opened on the device or the memory is
// smaller.
absl::StatusOr<SharedMemoryRange> open_region(const CudaSharedMemoryRegion& region);

}  // namespace zeta::serving
