// The operator library's own namespace. Each operator adds its schema and kernels from its own file with
// TORCH_LIBRARY_FRAGMENT and TORCH_LIBRARY_IMPL.
#include <torch/library.h>

TORCH_LIBRARY(zeta, m) {}
