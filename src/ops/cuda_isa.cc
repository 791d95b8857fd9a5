#include "src/ops/cuda_isa.h"

#include <ATen/cuda/CUDAContext.h>

#include <cstdlib>
#include <string>

namespace zeta::ops {
namespace {

CudaIsa best(const cudaDeviceProp& device) {
  if (device.major == 9 && device.minor == 0) return CudaIsa::kSm90;
  if (device.major >= 8) return CudaIsa::kSm80;
  TORCH_WARN_ONCE("zeta has no attention kernels for ", device.name, " (compute capability ", device.major,
                  ".", device.minor, " < 8.0): torch's run instead");
  return CudaIsa::kNone;
}

}  // namespace

CudaIsa cuda_isa(const at::Tensor& t) {
  const cudaDeviceProp& device = *at::cuda::getDeviceProperties(t.get_device());
  const CudaIsa its = best(device);
  const char* variable = std::getenv("ZETA_CUDA_ISA");
  const std::string forced = variable == nullptr ? "" : variable;
  // What is newer than Hopper runs sm_80's instructions, but torch's kernels use its own.
  if (forced.empty()) return its == CudaIsa::kSm80 && device.major > 8 ? CudaIsa::kNone : its;
  TORCH_CHECK_VALUE(forced == "sm_80" || forced == "sm_90", "ZETA_CUDA_ISA=", forced,
                    ": expected sm_80 or sm_90");
  const CudaIsa wanted = forced == "sm_80" ? CudaIsa::kSm80 : CudaIsa::kSm90;
  TORCH_CHECK(wanted <= its, "ZETA_CUDA_ISA=", forced, ": this GPU lacks its instructions");
  return wanted;
}

}  // namespace zeta::ops
