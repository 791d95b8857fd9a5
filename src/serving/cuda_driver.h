// NVIDIA's driver library, as far as memory of another process goes. It comes with the driver, so that a
// server which was built and started without CUDA can ask whether there is a GPU.
#pragma once

#include <cstddef>

namespace zeta::serving {

// The functions' own names and types; 0 is success.
struct CudaDriver {
  struct IpcHandle {
    char bytes[64];
  };
  int (*cuInit)(unsigned flags);
  int (*cuDeviceGetCount)(int* count);
  int (*cuDeviceGet)(int* device, int ordinal);
  int (*cuDevicePrimaryCtxRetain)(void** context, int device);
  int (*cuCtxPushCurrent)(void* context);
  int (*cuCtxPopCurrent)(void** context);
  int (*cuIpcOpenMemHandle)(unsigned long long* memory, IpcHandle handle, unsigned flags);
  int (*cuIpcCloseMemHandle)(unsigned long long memory);
  int (*cuMemGetAddressRange)(unsigned long long* base, size_t* size, unsigned long long memory);
  int (*cuMemcpyDtoH)(void* to, unsigned long long from, size_t size);
  int (*cuMemcpyHtoD)(unsigned long long to, const void* from, size_t size);
  int (*cuGetErrorString)(int error, const char** text);

  int devices = 0;  // at least 1
};

// Opened by the first call; null where there is no driver or no GPU. Thread-safe.
const CudaDriver* cuda_driver();

}  // namespace zeta::serving
