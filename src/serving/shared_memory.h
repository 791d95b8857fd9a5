// Memory that clients pass tensors through instead of the connection (Triton's system and CUDA shared memory
// extensions).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/base/mutex.h"
#include "src/serving/cuda_shared_memory.h"
#include "src/serving/shared_memory_range.h"
#include "src/serving/system_shared_memory.h"

namespace zeta::serving {

// The regions that clients have registered, by name; a name is of one region, whatever its kind. Thread-safe.
// Statuses carry Triton's texts.
class SharedMemoryRegistry {
 public:
  // With `allowed` false every call is refused: a client that names memory objects of this machine should be
  // one that is trusted.
  explicit SharedMemoryRegistry(bool allowed) : allowed_(allowed) {}

  // Opens a region, with the statuses of its open_region(). AlreadyExists when there is one of that name.
  absl::Status add(const SharedMemoryRegion& region) ZETA_EXCLUDES(mutex_);
  absl::Status add_cuda(const CudaSharedMemoryRegion& region) ZETA_EXCLUDES(mutex_);

  // `name` "": all of the kind. Unknown names, and those of the other kind, are passed over.
  absl::Status remove(std::string_view name) ZETA_EXCLUDES(mutex_);
  absl::Status remove_cuda(std::string_view name) ZETA_EXCLUDES(mutex_);

  // `name` "": all of the kind, in the order of their names; else NotFound when there is none of it, or one
  // of the other kind.
  absl::StatusOr<std::vector<SharedMemoryRegion>> list(std::string_view name) const ZETA_EXCLUDES(mutex_);
  absl::StatusOr<std::vector<CudaSharedMemoryRegion>> list_cuda(std::string_view name) const
      ZETA_EXCLUDES(mutex_);

  // `size` bytes at `offset` of the region. NotFound when there is no such region, InvalidArgument when it
  // does not have them.
  absl::StatusOr<SharedMemoryRange> find(std::string_view name, uint64_t offset, uint64_t size) const
      ZETA_EXCLUDES(mutex_);

 private:
  struct Opened {
    std::variant<SharedMemoryRegion, CudaSharedMemoryRegion> region;
    SharedMemoryRange range;
  };
  absl::Status check_allowed() const;
  template <class Region>
  absl::Status add_region(const Region& region) ZETA_EXCLUDES(mutex_);
  template <class Region>
  absl::Status remove_regions(std::string_view name) ZETA_EXCLUDES(mutex_);
  template <class Region>
  absl::StatusOr<std::vector<Region>> list_regions(std::string_view name) const ZETA_EXCLUDES(mutex_);

  const bool allowed_;
  mutable Mutex mutex_;
  std::map<std::string, Opened, std::less<>> regions_ ZETA_GUARDED_BY(mutex_);
};

}  // namespace zeta::serving
