#include "kernels/cuda/decode/entries.h"
#include "kernels/cuda/decode/launch.cuh"

namespace zeta::cuda {

const DecodeEntries kDecodeBFloat16 = {workspace_of<__nv_bfloat16, __nv_bfloat16>,
                                       run_decode<__nv_bfloat16, __nv_bfloat16>};

}  // namespace zeta::cuda
