// Letting go of models that may still be in use.
#pragma once

#include <memory>
#include <thread>
#include <vector>

#include "src/base/mutex.h"
#include "src/serving/served_model.h"

namespace zeta::serving {

// Keeps what it is given until nobody else does, and destroys it then, on a thread that is no model's: a
// request of an ensemble holds its members, and often ends on a thread of one of them. Nobody may be able to
// find the models any more. Thread-safe.
class ModelReleaser {
 public:
  ModelReleaser();
  ~ModelReleaser();  // waits for all
  // What nobody else holds is destroyed at once.
  void release(std::vector<std::shared_ptr<ServedModel>> models) ZETA_EXCLUDES(mutex_);

 private:
  void run() ZETA_EXCLUDES(mutex_);

  Mutex mutex_;
  CondVar changed_;
  std::vector<std::shared_ptr<ServedModel>> held_ ZETA_GUARDED_BY(mutex_);
  bool ending_ ZETA_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace zeta::serving
