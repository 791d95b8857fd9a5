#include "kernels/cuda/decode/entries.h"
#include "kernels/cuda/decode/launch.cuh"

namespace zeta::cuda {

const DecodeEntries kDecodeHalfFloat8 = {workspace_of<__half, Float8>, run_decode<__half, Float8>};

}  // namespace zeta::cuda
