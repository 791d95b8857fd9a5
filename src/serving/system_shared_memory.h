// POSIX shared memory objects (Triton's system shared memory extension).
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "src/serving/shared_memory_range.h"

namespace zeta::serving {

struct SharedMemoryRegion {
  std::string name;
  std::string key;  // of shm_open
  uint64_t offset = 0;
  uint64_t byte_size = 0;
};

// The object of an open descriptor, which it closes. It is read and written as a file, not mapped.
std::shared_ptr<const SharedMemoryObject> system_memory(int descriptor);

// The region's bytes. InvalidArgument when `key` is not one file name, with or without a leading slash, or
// one of the server's own ("/triton_…", "/zeta_…"), or the object does not hold them; Internal when there is
// none.
absl::StatusOr<SharedMemoryRange> open_region(const SharedMemoryRegion& region);

}  // namespace zeta::serving
