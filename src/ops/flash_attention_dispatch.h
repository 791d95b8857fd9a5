// Whose kernel is faster on Hopper: ours, or for a few measured shapes cuDNN's, through ATen.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <tuple>

#include "src/ops/flash_attention_options.h"

namespace zeta::ops {

// Attention by cuDNN, whose log-sum-exp is ours, so that our backward follows either;
// nothing where a table of measured shapes does not name it, where it would not compute the same, or where
// torch.backends.cuda.enable_cudnn_sdp(False) forbids it. The environment's ZETA_ATTENTION_DISPATCH=own, read
// each time, has our kernels run everywhere; throws c10::Error for other values. Arguments have been checked
// and are on a Hopper GPU. Thread-safe as long as nobody sets the environment.
std::optional<std::tuple<at::Tensor, at::Tensor>> flash_attention_forward_cudnn(
    const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const std::optional<at::Tensor>& mask,
    double scale, bool causal, const AttentionOptions& options);

}  // namespace zeta::ops
