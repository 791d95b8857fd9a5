#include "kernels/cuda/decode/entries.h"
#include "kernels/cuda/decode/launch.cuh"

namespace zeta::cuda {

const DecodeEntries kDecodeBFloat16Float8 = {workspace_of<__nv_bfloat16, Float8>,
                                             run_decode<__nv_bfloat16, Float8>};

}  // namespace zeta::cuda
