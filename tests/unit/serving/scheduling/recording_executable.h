// A model that doubles X into Y, sums each item into SUM, and keeps a record of its batches.
#pragma once

#include <chrono>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "src/base/mutex.h"
#include "src/serving/backend.h"
#include "tests/unit/serving/scheduling/requests.h"

namespace zeta::serving {

// Thread-safe.
class Record {
 public:
  // Batches from now on, or those that begin with `value`, end after release() only.
  void hold() { set_hold(true, std::nullopt); }
  void hold_value(float value) { set_hold(true, value); }
  void release() { set_hold(false, std::nullopt); }

  void enter(const Batch& batch, const std::vector<float>& values) {
    MutexLock lock(mutex_);
    batches_.push_back(batch);
    values_.push_back(values);
    changed_.notify_all();
    while (held_ && (!held_value_ || *held_value_ == values.front())) changed_.wait(mutex_);
  }
  // At most ten seconds.
  void wait_for_batches(size_t count) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    MutexLock lock(mutex_);
    while (batches_.size() < count && changed_.wait_until(mutex_, deadline)) {
    }
  }
  std::vector<int64_t> sizes() {
    return each<int64_t>([](const Batch& batch) { return batch.size; });
  }
  std::vector<Parameters> parameters() {
    return each<Parameters>([](const Batch& batch) { return batch.parameters; });
  }
  std::vector<std::vector<std::string>> wanted() {
    return each<std::vector<std::string>>([](const Batch& batch) { return batch.outputs; });
  }
  std::vector<Batch> batches() {
    return each<Batch>([](const Batch& batch) { return batch; });
  }
  std::vector<std::vector<float>> inputs() {
    MutexLock lock(mutex_);
    return values_;
  }

 private:
  template <class T, class Project>
  std::vector<T> each(Project project) {
    MutexLock lock(mutex_);
    std::vector<T> list;
    for (const Batch& batch : batches_) list.push_back(project(batch));
    return list;
  }
  void set_hold(bool held, std::optional<float> value) {
    MutexLock lock(mutex_);
    held_ = held;
    held_value_ = value;
    changed_.notify_all();
  }

  Mutex mutex_;
  CondVar changed_;
  std::vector<Batch> batches_ ZETA_GUARDED_BY(mutex_);
  std::vector<std::vector<float>> values_ ZETA_GUARDED_BY(mutex_);
  bool held_ ZETA_GUARDED_BY(mutex_) = false;
  std::optional<float> held_value_ ZETA_GUARDED_BY(mutex_);
};

inline std::vector<float> joined_values(const BatchInput& input) {
  std::vector<float> values;
  for (const Buffer& piece : input.pieces) {
    for (const float value : values_of({"", DataType::kFp32, {}, piece})) values.push_back(value);
  }
  return values;
}

class RecordingExecutable final : public Executable {
 public:
  // First values of a batch that make it fail.
  static constexpr float kThrows = -1, kNoMemory = -2, kWrongSize = -3, kRefuses = -4;

  explicit RecordingExecutable(std::shared_ptr<Record> record) : record_(std::move(record)) {
    metadata_.name = "recorder";
    metadata_.inputs = {{"X", DataType::kFp32, {-1, -1}}};
    metadata_.outputs = {{"Y", DataType::kFp32, {-1, -1}}, {"SUM", DataType::kFp32, {-1, 1}}};
  }
  const ModelMetadata& metadata() const override { return metadata_; }
  absl::StatusOr<std::unique_ptr<Instance>> make_instance(const Placement& placement) override {
    if (placement.device == 3) return absl::InvalidArgumentError("no GPU 3");
    return std::make_unique<Recorder>(record_);
  }

 private:
  class Recorder final : public Instance {
   public:
    explicit Recorder(std::shared_ptr<Record> record) : record_(std::move(record)) {}
    absl::StatusOr<BatchResult> execute(const Batch& batch) override {
      BatchResult result;
      result.inputs_ready = std::chrono::steady_clock::now();
      std::vector<float> values = joined_values(batch.inputs.at(0));
      record_->enter(batch, values);
      if (values.front() == kThrows) throw std::runtime_error("told to throw");
      if (values.front() == kNoMemory) throw std::bad_alloc();
      if (values.front() == kRefuses) return absl::InternalError("told to refuse");
      std::vector<int64_t> shape = batch.inputs[0].shape;
      const auto items = static_cast<size_t>(shape.front());
      std::vector<float> sums(items);
      for (size_t i = 0; i < values.size(); ++i) sums[i * items / values.size()] += values[i];
      for (float& value : values) value *= 2;
      if (values.front() == 2 * kWrongSize) ++shape.front();
      result.outputs = {floats("Y", shape, values), floats("SUM", {shape.front(), 1}, sums)};
      result.computed = std::chrono::steady_clock::now();
      return result;
    }

   private:
    const std::shared_ptr<Record> record_;
  };

  const std::shared_ptr<Record> record_;
  ModelMetadata metadata_;
};

}  // namespace zeta::serving
