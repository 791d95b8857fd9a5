#include "src/serving/shared_memory_range.h"

#include <algorithm>

namespace zeta::serving {

absl::StatusOr<Buffer> SharedMemoryRange::read() const {
  std::shared_ptr<std::byte[]> copy = std::make_unique_for_overwrite<std::byte[]>(std::max<size_t>(size_, 1));
  if (absl::Status status = object_->read(offset_, copy.get(), size_); !status.ok()) return status;
  const std::byte* data = copy.get();
  return Buffer{data, size_, std::move(copy)};
}

}  // namespace zeta::serving
