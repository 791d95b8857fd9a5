// A vector or matrix of one of three dtypes, read in its own: no launch converts it.
#pragma once

#include <cstdint>

namespace zeta::cuda {

enum class Dtype : int { kFloat, kHalf, kBFloat16 };

struct Values {
  const void* data = nullptr;
  Dtype dtype = Dtype::kFloat;
};

// The same to write to.
struct Output {
  void* data = nullptr;
  Dtype dtype = Dtype::kFloat;
};

}  // namespace zeta::cuda
