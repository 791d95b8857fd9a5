#include "src/serving/cuda_driver.h"

#include <dlfcn.h>

namespace zeta::serving {
namespace {

template <class Function>
bool find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

const CudaDriver* open_driver() {
  void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return nullptr;
  static CudaDriver driver;
  const bool complete = find(library, "cuInit", driver.cuInit) &&
                        find(library, "cuDeviceGetCount", driver.cuDeviceGetCount) &&
                        find(library, "cuDeviceGet", driver.cuDeviceGet) &&
                        find(library, "cuDevicePrimaryCtxRetain", driver.cuDevicePrimaryCtxRetain) &&
                        find(library, "cuCtxPushCurrent_v2", driver.cuCtxPushCurrent) &&
                        find(library, "cuCtxPopCurrent_v2", driver.cuCtxPopCurrent) &&
                        find(library, "cuIpcOpenMemHandle_v2", driver.cuIpcOpenMemHandle) &&
                        find(library, "cuIpcCloseMemHandle", driver.cuIpcCloseMemHandle) &&
                        find(library, "cuMemGetAddressRange_v2", driver.cuMemGetAddressRange) &&
                        find(library, "cuMemcpyDtoH_v2", driver.cuMemcpyDtoH) &&
                        find(library, "cuMemcpyHtoD_v2", driver.cuMemcpyHtoD) &&
                        find(library, "cuGetErrorString", driver.cuGetErrorString);
  const bool usable = complete && driver.cuInit(0) == 0 && driver.cuDeviceGetCount(&driver.devices) == 0;
  return usable && driver.devices > 0 ? &driver : nullptr;
}

}  // namespace

const CudaDriver* cuda_driver() {
  static const CudaDriver* const opened = open_driver();
  return opened;
}

}  // namespace zeta::serving
