// The operator library's own namespace. Each operator adds its schema and kernels from its own file with
// TORCH_LIBRARY_FRAGMENT and TORCH_LIBRARY_IMPL.
#include <torch/headeronly/version.h>
#include <torch/library.h>

#include <string>

#include "kernels/cpu/isa.h"
#include "src/ops/instruction_set.h"

void zeta::ops::check_instruction_set() { cpu::isa(); }

TORCH_LIBRARY(zeta, m) {
  // The torch that the library was built for; Python compares it with the one that it runs.
  m.def("torch_version() -> str", [] { return std::string(TORCH_VERSION); });
}
