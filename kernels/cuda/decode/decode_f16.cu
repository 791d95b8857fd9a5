#include "kernels/cuda/decode/entries.h"
#include "kernels/cuda/decode/launch.cuh"

namespace zeta::cuda {

const DecodeEntries kDecodeHalf = {workspace_of<__half, __half>, run_decode<__half, __half>};

}  // namespace zeta::cuda
