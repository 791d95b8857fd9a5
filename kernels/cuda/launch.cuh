// Launches whose start overlaps the end of the grid before them in the stream (programmatic dependent
// launch), and clusters, both of sm_90; on older GPUs a plain launch.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace zeta::cuda {

// Nothing that an earlier grid may write is read before this, and nothing that it may read is written.
__device__ inline void wait_for_previous_grid() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// From here on the next grid may take what room is left on the multiprocessors.
__device__ inline void let_next_grid_start() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}

struct Device {
  int multiprocessors;
  int shared;   // bytes of shared memory that a block may have
  bool hopper;  // compute capability 9.x; what is newer runs the code of sm_80, which waits for nothing
};

inline cudaError_t current_device(Device& device) {
  int index, major;
  if (const auto error = cudaGetDevice(&index)) return error;
  if (const auto error = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index))
    return error;
  device.hopper = major == 9;
  if (const auto error =
          cudaDeviceGetAttribute(&device.shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, index))
    return error;
  return cudaDeviceGetAttribute(&device.multiprocessors, cudaDevAttrMultiProcessorCount, index);
}

struct Launch {
  dim3 grid, block;
  unsigned cluster = 1;  // blocks of a cluster, along x; > 1 only on Hopper
  size_t shared = 0;     // bytes of dynamic shared memory
  bool overlap = false;  // the kernel calls wait_for_previous_grid(); only on Hopper
};

template <typename... Parameters>
cudaError_t launch(const Launch& how, cudaStream_t stream, void (*kernel)(Parameters...),
                   Parameters... arguments) {
  if (how.shared > 32 << 10) {  // above 48 KB together with what the kernel declares, it has to be asked for
    const auto error =
        cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                             cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(how.shared));
    if (error != cudaSuccess) return error;
  }
  cudaLaunchAttribute attributes[2];
  unsigned count = 0;
  if (how.overlap) {
    attributes[count].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes[count++].val.programmaticStreamSerializationAllowed = 1;
  }
  if (how.cluster > 1) {
    attributes[count].id = cudaLaunchAttributeClusterDimension;
    attributes[count].val.clusterDim.x = how.cluster;
    attributes[count].val.clusterDim.y = 1;
    attributes[count++].val.clusterDim.z = 1;
  }
  cudaLaunchConfig_t config = {};
  config.gridDim = how.grid;
  config.blockDim = how.block;
  config.dynamicSmemBytes = how.shared;
  config.stream = stream;
  config.attrs = attributes;
  config.numAttrs = count;
  void* pointers[] = {const_cast<void*>(static_cast<const void*>(&arguments))...};
  return cudaLaunchKernelExC(&config, reinterpret_cast<const void*>(kernel), pointers);
}

}  // namespace zeta::cuda
