// The right to change one model of a registry.
#pragma once

#include <string>
#include <string_view>

#include "src/base/mutex.h"
#include "src/serving/registry.h"

namespace zeta::serving {

// While it lives, others that want to change the model wait.
class ModelRegistry::Turn {
 public:
  Turn(ModelRegistry& registry, std::string_view name) : registry_(registry), name_(name) {
    MutexLock lock(registry_.mutex_);
    while (!registry_.changing_.insert(name_).second) registry_.turn_ended_.wait(registry_.mutex_);
  }
  ~Turn() {
    MutexLock lock(registry_.mutex_);
    registry_.changing_.erase(name_);
    registry_.turn_ended_.notify_all();
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  ModelRegistry& registry_;
  const std::string name_;
};

}  // namespace zeta::serving
