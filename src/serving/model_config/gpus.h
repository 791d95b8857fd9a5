// How many GPUs there are, without a GPU library.
#pragma once

namespace zeta::serving {

// NVIDIA devices of this machine, or those of them that CUDA_VISIBLE_DEVICES leaves.
int gpu_count();

}  // namespace zeta::serving
