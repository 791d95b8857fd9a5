#include "src/serving/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

#include "src/base/concat.h"
#include "src/serving/tensor.h"

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

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int number() const { return number_; }

 private:
  const int number_;
};

// A mapping starts at a page: what lies before `offset` on its page is mapped too.
absl::StatusOr<SharedMemoryRange> map(const Descriptor& object, const SharedMemoryRegion& region) {
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const uint64_t skipped = region.offset % page;
  const size_t length = region.byte_size + skipped;
  void* start = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, object.number(),
                     static_cast<off_t>(region.offset - skipped));
  if (start == MAP_FAILED) {
    return absl::InternalError(concat("unable to map shared memory region: '", region.key, "'"));
  }
  std::shared_ptr<void> owner(start, [length](void* mapped) { munmap(mapped, length); });
  return SharedMemoryRange{static_cast<std::byte*>(start) + skipped, region.byte_size, std::move(owner)};
}

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
  const Descriptor object(shm_open(region.key.c_str(), O_RDWR | O_CLOEXEC, 0));
  struct stat info {};
  if (object.number() < 0 || fstat(object.number(), &info) != 0) {
    return absl::InternalError(concat("Unable to open shared memory region: '", region.key, "'"));
  }
  if (region.byte_size == 0) {
    return absl::InternalError(concat("Invalid shared memory region: '", region.key, "'"));
  }
  const auto size = static_cast<uint64_t>(info.st_size);
  if (region.offset > size || region.byte_size > size - region.offset) {
    return absl::InvalidArgumentError(
        concat("failed to register shared memory region '", region.name, "': invalid args: offset ",
               region.offset, " and byte_size ", region.byte_size, " reach beyond its ", size, " bytes"));
  }
  return map(object, region);
}

}  // namespace

Buffer read_shared_memory(const SharedMemoryRange& range, DataType type) {
  if (type == DataType::kBytes) {
    return make_buffer(std::string(reinterpret_cast<const char*>(range.data), range.size));
  }
  return aligned({range.data, range.size, range.owner}, type);
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
  regions_.emplace(region.name, Mapped{region, *std::move(range)});
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
  for (const auto& [key, mapped] : regions_) {
    if (name.empty() || key == name) regions.push_back(mapped.region);
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
  if (offset > range.size || size > range.size - offset) {
    return absl::InvalidArgumentError(
        concat("Invalid offset + byte size for shared memory region: '", name, "'"));
  }
  return SharedMemoryRange{range.data + offset, size, range.owner};
}

}  // namespace zeta::serving
