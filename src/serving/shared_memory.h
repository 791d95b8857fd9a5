// POSIX shared memory that clients pass tensors through instead of the connection (Triton's system shared
// memory extension).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/base/mutex.h"
#include "src/serving/backend.h"

namespace zeta::serving {

// Part of a region. Its memory is copied rather than mapped: a client may shrink or change the object at any
// time, which must neither end the server nor change a tensor that has been checked. Stays usable when the
// region is unregistered. Thread-safe.
class SharedMemoryRange {
 public:
  SharedMemoryRange() = default;
  // `object`: of an open descriptor, which `owner` closes.
  SharedMemoryRange(int object, uint64_t offset, uint64_t size, std::shared_ptr<const void> owner)
      : object_(object), offset_(offset), size_(size), owner_(std::move(owner)) {}

  uint64_t size() const { return size_; }
  // REQUIRES: offset + size ≤ size().
  SharedMemoryRange part(uint64_t offset, uint64_t size) const {
    return {object_, offset_ + offset, size, owner_};
  }
  // A copy. InvalidArgument when the object has become smaller.
  absl::StatusOr<Buffer> read() const;
  // REQUIRES: data.size ≤ size().
  absl::Status write(const Buffer& data) const;

 private:
  int object_ = -1;
  uint64_t offset_ = 0, size_ = 0;
  std::shared_ptr<const void> owner_;
};

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

  // Opens bytes [offset, offset + byte_size) of the object `key`, which must exist and hold them. `key` is
  // one file name with or without a leading slash, and not one of the server's own ("/triton_…", "/zeta_…").
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
  struct Opened {
    SharedMemoryRegion region;
    SharedMemoryRange range;
  };
  absl::Status check_allowed() const;

  const bool allowed_;
  mutable Mutex mutex_;
  std::map<std::string, Opened, std::less<>> regions_ ZETA_GUARDED_BY(mutex_);
};

}  // namespace zeta::serving
