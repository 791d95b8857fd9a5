#include "src/serving/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <utility>

#include "src/base/concat.h"

namespace zeta::serving {
namespace {

constexpr size_t kMaxRegions = 4096;
constexpr size_t kMaxName = 256;

// One component below /dev/shm: no path leads elsewhere.
bool is_plain_key(std::string_view key) {
  if (key.starts_with('/')) key.remove_prefix(1);
  return !key.empty() && key.size() < kMaxName && key != "." && key != ".." &&
         key.find('/') == std::string_view::npos && key.find('\0') == std::string_view::npos;
}

bool is_reserved(std::string_view key) {
  if (key.starts_with('/')) key.remove_prefix(1);
  return key.starts_with("triton_") || key.starts_with("zeta_");
}

struct Descriptor {
  explicit Descriptor(int opened) : number(opened) {}
  ~Descriptor() {
    if (number >= 0) close(number);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  const int number;
};

absl::StatusOr<SharedMemoryRange> open_region(const SharedMemoryRegion& region) {
  if (!is_plain_key(region.key)) {
    return absl::InvalidArgumentError(
        concat("expected 'key' to be one file name of at most 255 bytes, got '", region.key, "'"));
  }
  if (is_reserved(region.key)) {
    return absl::InvalidArgumentError(concat("cannot register shared memory region '", region.name,
                                             "' with key '", region.key,
                                             "' as the key is reserved for the server's own use"));
  }
  const auto object = std::make_shared<Descriptor>(shm_open(region.key.c_str(), O_RDWR | O_CLOEXEC, 0));
  struct stat info {};
  if (object->number < 0 || fstat(object->number, &info) != 0) {
    return absl::InternalError(concat("Unable to open shared memory region: '", region.key, "'"));
  }
  if (region.byte_size == 0) {
    return absl::InternalError(concat("Invalid shared memory region: '", region.key, "'"));
  }
  const auto size = static_cast<uint64_t>(info.st_size);
  if (region.offset > size || region.byte_size > size - region.offset) {
    return absl::InvalidArgumentError(concat("failed to register shared memory region '", region.name,
                                             "': invalid args: offset ", region.offset, " and byte_size ",
                                             region.byte_size, " reach beyond its ", size, " bytes"));
  }
  return SharedMemoryRange(object->number, region.offset, region.byte_size, object);
}

}  // namespace

absl::StatusOr<Buffer> SharedMemoryRange::read() const {
  std::shared_ptr<std::byte[]> copy = std::make_unique_for_overwrite<std::byte[]>(std::max<size_t>(size_, 1));
  for (size_t done = 0; done < size_;) {
    const ssize_t count = pread(object_, copy.get() + done, size_ - done, static_cast<off_t>(offset_ + done));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      return absl::InvalidArgumentError("a shared memory region has become smaller than it was registered");
    }
    done += static_cast<size_t>(count);
  }
  const std::byte* data = copy.get();
  return Buffer{data, size_, std::move(copy)};
}

absl::Status SharedMemoryRange::write(const Buffer& data) const {
  for (size_t done = 0; done < data.size;) {
    const ssize_t count =
        pwrite(object_, data.data + done, data.size - done, static_cast<off_t>(offset_ + done));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return absl::InternalError("a shared memory region cannot be written");
    done += static_cast<size_t>(count);
  }
  return absl::OkStatus();
}

absl::Status refuse_cuda_shared_memory(std::string_view region) {
  return absl::UnimplementedError(
      concat("failed to register CUDA shared memory region: '", region, "', GPUs not supported"));
}

absl::Status SharedMemoryRegistry::check_allowed() const {
  if (allowed_) return absl::OkStatus();
  return absl::UnavailableError("shared memory of clients is not allowed (--allow-client-shm)");
}

absl::Status SharedMemoryRegistry::add(const SharedMemoryRegion& region) {
  if (absl::Status status = check_allowed(); !status.ok()) return status;
  if (region.name.empty() || region.name.size() > kMaxName) {
    return absl::InvalidArgumentError("expected a region's name of 1 to 256 bytes");
  }
  MutexLock lock(mutex_);
  if (regions_.contains(region.name)) {
    return absl::AlreadyExistsError(concat("shared memory region '", region.name, "' already in manager"));
  }
  if (regions_.size() >= kMaxRegions) {
    return absl::ResourceExhaustedError(
        concat("expected at most ", kMaxRegions, " shared memory regions; unregister some first"));
  }
  auto range = open_region(region);
  if (!range.ok()) return range.status();
  regions_.emplace(region.name, Opened{region, *std::move(range)});
  return absl::OkStatus();
}

absl::Status SharedMemoryRegistry::remove(std::string_view name) {
  if (absl::Status status = check_allowed(); !status.ok()) return status;
  MutexLock lock(mutex_);
  if (name.empty()) {
    regions_.clear();
  } else if (const auto found = regions_.find(name); found != regions_.end()) {
    regions_.erase(found);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<SharedMemoryRegion>> SharedMemoryRegistry::list(std::string_view name) const {
  if (absl::Status status = check_allowed(); !status.ok()) return status;
  MutexLock lock(mutex_);
  std::vector<SharedMemoryRegion> regions;
  for (const auto& [key, opened] : regions_) {
    if (name.empty() || key == name) regions.push_back(opened.region);
  }
  if (name.empty() || !regions.empty()) return regions;
  return absl::NotFoundError(concat("Unable to find system shared memory region: '", name, "'"));
}

absl::StatusOr<SharedMemoryRange> SharedMemoryRegistry::find(std::string_view name, uint64_t offset,
                                                             uint64_t size) const {
  if (absl::Status status = check_allowed(); !status.ok()) return status;
  MutexLock lock(mutex_);
  const auto found = regions_.find(name);
  if (found == regions_.end()) {
    return absl::NotFoundError(concat("Unable to find shared memory region: '", name, "'"));
  }
  const SharedMemoryRange& range = found->second.range;
  if (offset > range.size() || size > range.size() - offset) {
    return absl::InvalidArgumentError(
        concat("Invalid offset + byte size for shared memory region: '", name, "'"));
  }
  return range.part(offset, size);
}

}  // namespace zeta::serving
