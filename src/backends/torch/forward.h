// A model's computation, whatever its kind.
#pragma once

#include <ATen/core/ivalue.h>

#include <string>
#include <vector>

namespace zeta::torch_backend {

// For one thread. What fails throws what torch throws.
class Forward {
 public:
  virtual ~Forward() = default;
  // `inputs` are in the order of the configuration, on the device of the model; None where there is none.
  virtual c10::IValue run(std::vector<c10::IValue> inputs) = 0;
  virtual bool needs_all_inputs() const = 0;
  // Whether it has tensors besides its parameters: it may return one and write to it in its next run.
  virtual bool is_stateful() const { return false; }
  // Why its runs cannot be recorded; empty: they can.
  virtual std::string why_not_recorded() const { return ""; }
  // After trial runs: gives the model the state that it was loaded with. `recorded`: graphs were made of it,
  // which know its memory by address.
  virtual void restore(bool recorded) = 0;
};

}  // namespace zeta::torch_backend
