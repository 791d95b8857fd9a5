// What our operators do not support, refused by the operator's name rather than silently wrong.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

namespace zeta::ops {

inline void refuse_vmap(const c10::OperatorHandle& op, torch::jit::Stack*) {
  TORCH_CHECK_NOT_IMPLEMENTED(false, op.schema().name(),
                              ": torch.func.vmap is not supported; fold the mapped dimension into the batch");
}

}  // namespace zeta::ops
