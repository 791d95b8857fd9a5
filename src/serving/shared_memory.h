// POSIX shared memory that clients pass tensors through instead of the connection (Triton's system shared
// memory extension).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/base/mutex.h"
#include "src/serving/backend.h"

namespace zeta::serving {

// Part of a region. The memory stays mapped while `owner` lives, even when the region is unregistered. The
// client may change it at any time.
struct SharedMemoryRange {
  std::byte* data = nullptr;
  size_t size = 0;
  std::shared_ptr<const void> owner;
};

// The range as a tensor's data. BYTES are copied, lest their lengths change once they have been checked.
Buffer read_shared_memory(const SharedMemoryRange& range, DataType type);

struct SharedMemoryRegion {
  std::string name;
  std::string key;  // of shm_open
  uint64_t offset = 0;
  uint64_t byte_size = 0;
};

// Why memory of a GPU cannot be registered: this server has no CUDA. Unimplemented.
absl::Status refuse_cuda_shared_memory(std::string_view region);

// The regions that clients have registered, by name. Thread-safe. Statuses carry Triton's texts.
class SharedMemoryRegistry {
 public:
  // With `allowed` false every call is refused: a client that names memory objects of this machine should be
  // one that is trusted.
  explicit SharedMemoryRegistry(bool allowed) : allowed_(allowed) {}

  // Maps bytes [offset, offset + byte_size) of the object `key`, which must exist and hold them. `key` is one
  // file name with or without a leading slash, and not one of the server's own ("/triton_…", "/zeta_…").
  // AlreadyExists when there is a region of that name.
  absl::Status add(const SharedMemoryRegion& region) ZETA_EXCLUDES(mutex_);

  // `name` "": all. Unknown names are passed over.
  absl::Status remove(std::string_view name) ZETA_EXCLUDES(mutex_);

  // `name` "": all, in the order of their names; else NotFound when there is none of it.
  absl::StatusOr<std::vector<SharedMemoryRegion>> list(std::string_view name) const ZETA_EXCLUDES(mutex_);

  // `size` bytes at `offset` of the region. NotFound when there is no such region, InvalidArgument when it
  // does not have them.
  absl::StatusOr<SharedMemoryRange> find(std::string_view name, uint64_t offset, uint64_t size) const
      ZETA_EXCLUDES(mutex_);

 private:
  struct Mapped {
    SharedMemoryRegion region;
    SharedMemoryRange range;
  };
  absl::Status check_allowed() const;

  const bool allowed_;
  mutable Mutex mutex_;
  std::map<std::string, Mapped, std::less<>> regions_ ZETA_GUARDED_BY(mutex_);
};

}  // namespace zeta::serving
