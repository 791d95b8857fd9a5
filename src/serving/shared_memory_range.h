// Memory of another process that tensors are copied from and to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/serving/backend.h"

namespace zeta::serving {

// Open for as long as this lives, even when its owner has gone. Thread-safe.
class SharedMemoryObject {
 public:
  virtual ~SharedMemoryObject() = default;
  virtual absl::Status read(uint64_t offset, std::byte* to, size_t size) const = 0;
  virtual absl::Status write(uint64_t offset, const std::byte* from, size_t size) const = 0;
};

// Part of an object. Its memory is copied rather than used in place: a client may shrink or change it at any
// time, which must neither end the server nor change a tensor that has been checked. Stays usable when the
// region is unregistered. Thread-safe.
class SharedMemoryRange {
 public:
  SharedMemoryRange() = default;
  SharedMemoryRange(std::shared_ptr<const SharedMemoryObject> object, uint64_t offset, uint64_t size)
      : object_(std::move(object)), offset_(offset), size_(size) {}

  uint64_t size() const { return size_; }
  // REQUIRES: offset + size ≤ size().
  SharedMemoryRange part(uint64_t offset, uint64_t size) const { return {object_, offset_ + offset, size}; }
  // A copy. InvalidArgument when the object has become smaller.
  absl::StatusOr<Buffer> read() const;
  // REQUIRES: data.size ≤ size().
  absl::Status write(const Buffer& data) const { return object_->write(offset_, data.data, data.size); }

 private:
  std::shared_ptr<const SharedMemoryObject> object_;
  uint64_t offset_ = 0, size_ = 0;
};

}  // namespace zeta::serving
