#include "src/backends/torch/script_state.h"

#include <algorithm>

namespace zeta::torch_backend {
namespace {

// Whether a value of the type, which is no tensor itself, may hold one, or what only its class knows.
bool is_opaque(const c10::Type& type) {
  switch (type.kind()) {
    case c10::TypeKind::TensorType:
    case c10::TypeKind::AnyType:
    case c10::TypeKind::ClassType:
    case c10::TypeKind::InterfaceType:
      return true;
    default:
      return std::ranges::any_of(type.containedTypes(), [](const auto& part) { return is_opaque(*part); });
  }
}

}  // namespace

bool has_state(const torch::jit::Module& module) {
  for (const torch::jit::Module& part : module.modules()) {
    const auto type = part.type();
    for (size_t i = 0; i < type->numAttributes(); ++i) {
      const auto attribute = type->getAttribute(i);
      if (!type->is_parameter(i) && !attribute->is_module() && is_opaque(*attribute)) return true;
    }
  }
  return false;
}

ScriptState::ScriptState(const torch::jit::Module& module) {
  for (const torch::jit::Module& part : module.modules()) {
    const auto type = part.type();
    for (size_t i = 0; i < type->numAttributes(); ++i) {
      const auto attribute = type->getAttribute(i);
      if (type->is_parameter(i) || attribute->is_module()) continue;
      const std::string& name = type->getAttributeName(i);
      const c10::IValue value = part.attr(name);
      if (value.isTensor() || !is_opaque(*attribute)) {
        kept_.push_back({part, name, value, value.deepcopy()});
      } else if (unknown_.empty() && !value.isNone()) {
        unknown_ = name;
      }
    }
  }
}

void ScriptState::restore() const {
  for (const Kept& kept : kept_) {
    torch::jit::Module owner = kept.owner;
    const bool has_memory = kept.value.isTensor() && kept.value.toTensor().defined();
    owner.setattr(kept.name, has_memory ? kept.value : kept.copy);
    if (has_memory) kept.value.toTensor().copy_(kept.copy.toTensor());
  }
}

}  // namespace zeta::torch_backend
