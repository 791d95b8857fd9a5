#include "src/serving/cuda_shared_memory.h"

#include <cstring>
#include <memory>

#include "src/base/concat.h"
#include "src/serving/cuda_driver.h"

namespace zeta::serving {
namespace {

constexpr unsigned kLazyPeerAccess = 1;  // CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS

// A device's context, current on this thread meanwhile. It is the one that torch uses too, and is kept:
// making it anew costs a second.
class Current {
 public:
  Current(const CudaDriver& driver, void* context)
      : driver_(driver), error_(driver.cuCtxPushCurrent(context)) {}
  ~Current() {
    void* context = nullptr;
    if (error_ == 0) driver_.cuCtxPopCurrent(&context);
  }
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;
  int error() const { return error_; }

 private:
  const CudaDriver& driver_;
  const int error_;
};

std::string text_of(const CudaDriver& driver, int error) {
  const char* text = nullptr;
  driver.cuGetErrorString(error, &text);
  return text == nullptr ? concat("error ", error) : text;
}

class CudaMemory final : public SharedMemoryObject {
 public:
  CudaMemory(const CudaDriver& driver, void* context, unsigned long long address)
      : driver_(driver), context_(context), address_(address) {}
  ~CudaMemory() override {
    const Current current(driver_, context_);
    driver_.cuIpcCloseMemHandle(address_);
  }

  absl::Status read(uint64_t offset, std::byte* to, size_t size) const override {
    const Current current(driver_, context_);
    return status(current.error() != 0 ? current.error() : driver_.cuMemcpyDtoH(to, address_ + offset, size));
  }
  absl::Status write(uint64_t offset, const std::byte* from, size_t size) const override {
    const Current current(driver_, context_);
    return status(current.error() != 0 ? current.error()
                                       : driver_.cuMemcpyHtoD(address_ + offset, from, size));
  }

 private:
  absl::Status status(int error) const {
    if (error == 0) return absl::OkStatus();
    return absl::InternalError(
        concat("a CUDA shared memory region cannot be copied: ", text_of(driver_, error)));
  }

  const CudaDriver& driver_;
  void* const context_;
  const unsigned long long address_;
};

// 0 and what `memory` and `size` then are: the address, and the bytes from there on.
int open_handle(const CudaDriver& driver, const std::string& raw_handle, unsigned long long& memory,
                size_t& size) {
  CudaDriver::IpcHandle handle{};
  std::memcpy(handle.bytes, raw_handle.data(), sizeof handle.bytes);
  if (const int error = driver.cuIpcOpenMemHandle(&memory, handle, kLazyPeerAccess); error != 0) return error;
  unsigned long long base = 0;
  const int error = driver.cuMemGetAddressRange(&base, &size, memory);
  if (error != 0) {
    driver.cuIpcCloseMemHandle(memory);
    return error;
  }
  size -= static_cast<size_t>(memory - base);
  return 0;
}

}  // namespace

absl::StatusOr<SharedMemoryRange> open_region(const CudaSharedMemoryRegion& region) {
  const CudaDriver* driver = cuda_driver();
  if (driver == nullptr) {
    return absl::UnimplementedError(
        concat("failed to register CUDA shared memory region: '", region.name, "', GPUs not supported"));
  }
  const auto invalid = [&] {
    return absl::InvalidArgumentError(
        concat("failed to register shared memory region '", region.name, "': invalid args"));
  };
  const bool has_device = region.device_id >= 0 && region.device_id < driver->devices;
  if (!has_device || region.raw_handle.size() != sizeof(CudaDriver::IpcHandle)) return invalid();
  int device = 0;
  void* context = nullptr;
  int error = driver->cuDeviceGet(&device, static_cast<int>(region.device_id));
  if (error == 0) error = driver->cuDevicePrimaryCtxRetain(&context, device);
  if (error != 0) return absl::InternalError(concat("GPU ", region.device_id, ": ", text_of(*driver, error)));
  const Current current(*driver, context);
  unsigned long long memory = 0;
  size_t size = 0;
  error = current.error() != 0 ? current.error() : open_handle(*driver, region.raw_handle, memory, size);
  // Triton's words: a client learns nothing of others' memory.
  if (error != 0) return absl::InvalidArgumentError("failed to register shared memory region: invalid args");
  auto object = std::make_shared<const CudaMemory>(*driver, context, memory);
  if (region.byte_size == 0 || region.byte_size > size) return invalid();
  return SharedMemoryRange(std::move(object), 0, region.byte_size);
}

}  // namespace zeta::serving
