#include "src/serving/model_releaser.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

namespace zeta::serving {
namespace {

constexpr std::chrono::milliseconds kInterval{2};

using Models = std::vector<std::shared_ptr<ServedModel>>;

// Moves out those that nobody else holds.
Models take_unused(Models& models) {
  const auto unused = std::ranges::stable_partition(
      models, [](const std::shared_ptr<ServedModel>& model) { return model.use_count() > 1; });
  Models taken(std::make_move_iterator(unused.begin()), std::make_move_iterator(unused.end()));
  models.erase(unused.begin(), unused.end());
  return taken;
}

}  // namespace

ModelReleaser::ModelReleaser() : thread_([this] { run(); }) {}

ModelReleaser::~ModelReleaser() {
  {
    MutexLock lock(mutex_);
    ending_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

void ModelReleaser::release(Models models) {
  std::erase(models, nullptr);
  const Models destroyed = take_unused(models);
  if (models.empty()) return;
  MutexLock lock(mutex_);
  std::ranges::move(models, std::back_inserter(held_));
  changed_.notify_all();
}

void ModelReleaser::run() {
  while (true) {
    Models destroyed;  // without the lock: models may take long
    MutexLock lock(mutex_);
    if (held_.empty()) {
      if (ending_) return;
      changed_.wait(mutex_);
    } else {
      changed_.wait_until(mutex_, std::chrono::steady_clock::now() + kInterval);
    }
    destroyed = take_unused(held_);
  }
}

}  // namespace zeta::serving
