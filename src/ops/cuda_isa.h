// Which generation of CUDA kernels runs.
#pragma once

#include <ATen/core/Tensor.h>

namespace zeta::ops {

enum class CudaIsa { kNone, kSm80, kSm90 };

// sm_90 on Hopper, sm_80 on Ampere and Ada (compute capability 8.x); none on any other GPU, which leaves it
// to torch (one before Ampere is warned of, once). The environment's ZETA_CUDA_ISA, read each time, forces
// sm_80 or sm_90; throws c10::Error if there is no such one or the GPU lacks it. Packed sequences, and few
// queries (decode_cuda.h), do not ask. Thread-safe as long as nobody sets the environment.
CudaIsa cuda_isa(const at::Tensor& t);

}  // namespace zeta::ops
