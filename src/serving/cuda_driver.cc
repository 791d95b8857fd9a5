#include "src/serving/cuda_driver.h"

#include <dlfcn.h>

#include "src/serving/loaded_function.h"

namespace zeta::serving {
namespace {

const CudaDriver* open_driver() {
  void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return nullptr;
  static CudaDriver driver;
  const bool complete = find_function(library, "cuInit", driver.cuInit) &&
                        find_function(library, "cuDeviceGetCount", driver.cuDeviceGetCount) &&
                        find_function(library, "cuDeviceGet", driver.cuDeviceGet) &&
                        find_function(library, "cuDevicePrimaryCtxRetain", driver.cuDevicePrimaryCtxRetain) &&
                        find_function(library, "cuCtxPushCurrent_v2", driver.cuCtxPushCurrent) &&
                        find_function(library, "cuCtxPopCurrent_v2", driver.cuCtxPopCurrent) &&
                        find_function(library, "cuIpcOpenMemHandle_v2", driver.cuIpcOpenMemHandle) &&
                        find_function(library, "cuIpcCloseMemHandle", driver.cuIpcCloseMemHandle) &&
                        find_function(library, "cuMemGetAddressRange_v2", driver.cuMemGetAddressRange) &&
                        find_function(library, "cuMemcpyDtoH_v2", driver.cuMemcpyDtoH) &&
                        find_function(library, "cuMemcpyHtoD_v2", driver.cuMemcpyHtoD) &&
                        find_function(library, "cuGetErrorString", driver.cuGetErrorString);
  const bool usable = complete && driver.cuInit(0) == 0 && driver.cuDeviceGetCount(&driver.devices) == 0;
  return usable && driver.devices > 0 ? &driver : nullptr;
}

}  // namespace

const CudaDriver* cuda_driver() {
  static const CudaDriver* const opened = open_driver();
  return opened;
}

}  // namespace zeta::serving
