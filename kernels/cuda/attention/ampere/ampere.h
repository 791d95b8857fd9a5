// Scaled dot-product attention on NVIDIA GPUs from Ampere on (compute capability 8.0), with what those have:
// cp.async and mma.sync. As attention.h says, and a window besides.
#pragma once

#include "kernels/cuda/attention/attention.h"

namespace zeta::cuda {

// Query i sees keys from `left` before position i + seq_k - seq_q to `right` after it; -1: no limit.
// Causality limits it too.
struct AttentionWindow {
  int64_t left = -1, right = -1;
};

// Whether attention_forward_sm80 can do it on the current device: a positive scale, dims that are multiples
// of 8 up to 256, data aligned to 16 bytes, strides that are multiples of 16 bytes, tiles that fit the
// device's shared memory.
bool attention_forward_sm80_supports(const AttentionForward& args);
cudaError_t attention_forward_sm80(const AttentionForward& args, const AttentionWindow& window,
                                   cudaStream_t stream);

// args.workspace has attention_backward_sm80_workspace(shape) bytes, aligned to 16. grad_q is summed in an
// order that varies between runs; grad_k and grad_v are not.
int64_t attention_backward_sm80_workspace(const AttentionShape& shape);
bool attention_backward_sm80_supports(const AttentionBackward& args);
cudaError_t attention_backward_sm80(const AttentionBackward& args, const AttentionWindow& window,
                                    cudaStream_t stream);

}  // namespace zeta::cuda
