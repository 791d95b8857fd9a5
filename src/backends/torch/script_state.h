// What a TorchScript module keeps between its runs.
#pragma once

#include <torch/csrc/jit/api/module.h>

#include <string>
#include <utility>
#include <vector>

namespace zeta::torch_backend {

// Whether it has tensors, or what may hold some, besides its parameters.
bool has_state(const torch::jit::Module& module);

// All that a module has besides its parameters, as it was when this was made.
class ScriptState {
 public:
  explicit ScriptState(const torch::jit::Module& module);

  // The first attribute that cannot be set back, such as a list of tensors; empty: all can.
  const std::string& unknown() const { return unknown_; }
  // Sets all back, tensors in the memory where they were.
  void restore() const;

 private:
  struct Kept {
    torch::jit::Module owner;
    std::string name;
    c10::IValue value, copy;
  };
  std::vector<Kept> kept_;
  std::string unknown_;
};

}  // namespace zeta::torch_backend
