// Which CPU kernels the operators run.
#pragma once

#include <c10/macros/Export.h>

namespace zeta::ops {

// Throws std::runtime_error when the environment's ZETA_CPU_ISA names an instruction set that there is not,
// which every operator on CPU would do later. Thread-safe.
C10_EXPORT void check_instruction_set();

}  // namespace zeta::ops
