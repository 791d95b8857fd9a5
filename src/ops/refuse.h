// What our operators do not support, refused by the operator's name rather than silently wrong.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>
#include <torch/library.h>

#include <initializer_list>
#include <optional>

namespace zeta::ops {

inline void refuse_vmap(const c10::OperatorHandle& op, torch::jit::Stack*) {
  TORCH_CHECK_NOT_IMPLEMENTED(false, op.schema().name(),
                              ": torch.func.vmap is not supported; fold the mapped dimension into the batch");
}

struct NamedTensor {
  std::optional<at::Tensor> tensor;
  const char* name;
};
// Of an operator that is for inference only.
inline void refuse_gradient(const char* op, const char* what, std::initializer_list<NamedTensor> tensors) {
  if (!at::GradMode::is_enabled()) return;
  for (const auto& [tensor, name] : tensors)
    TORCH_CHECK_NOT_IMPLEMENTED(!tensor || !tensor->requires_grad(), op, ": ", what,
                                " is for inference only, got ", name,
                                " that requires grad; detach it or call under torch.no_grad()");
}

}  // namespace zeta::ops
