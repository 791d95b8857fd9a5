#include "src/serving/system_shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

#include "src/base/concat.h"

namespace zeta::serving {
namespace {

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

class SystemMemory final : public SharedMemoryObject {
 public:
  explicit SystemMemory(int descriptor) : number(descriptor) {}
  ~SystemMemory() override {
    if (number >= 0) close(number);
  }
  SystemMemory(const SystemMemory&) = delete;
  SystemMemory& operator=(const SystemMemory&) = delete;

  absl::Status read(uint64_t offset, std::byte* to, size_t size) const override {
    for (size_t done = 0; done < size;) {
      const ssize_t count = pread(number, to + done, size - done, static_cast<off_t>(offset + done));
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) {
        return absl::InvalidArgumentError("a shared memory region has become smaller than it was registered");
      }
      done += static_cast<size_t>(count);
    }
    return absl::OkStatus();
  }
  absl::Status write(uint64_t offset, const std::byte* from, size_t size) const override {
    for (size_t done = 0; done < size;) {
      const ssize_t count = pwrite(number, from + done, size - done, static_cast<off_t>(offset + done));
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return absl::InternalError("a shared memory region cannot be written");
      done += static_cast<size_t>(count);
    }
    return absl::OkStatus();
  }

  const int number;
};

}  // namespace

std::shared_ptr<const SharedMemoryObject> system_memory(int descriptor) {
  return std::make_shared<const SystemMemory>(descriptor);
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
  const auto object =
      std::make_shared<const SystemMemory>(shm_open(region.key.c_str(), O_RDWR | O_CLOEXEC, 0));
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
  return SharedMemoryRange(object, region.offset, region.byte_size);
}

}  // namespace zeta::serving
