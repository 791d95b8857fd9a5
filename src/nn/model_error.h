// What is wrong with a model folder, in one line that names the file, the key or tensor, the value and the
// remedy. Thrown while loading; a bug of ours is any other exception.
#pragma once

#include <stdexcept>

namespace zeta::nn {

class ModelError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace zeta::nn
