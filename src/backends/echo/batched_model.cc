#include "src/backends/echo/batched_model.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <thread>
#include <utility>

#include "src/serving/tensor.h"

namespace zeta::echo {
namespace {

using serving::Batch;
using serving::BatchInput;
using serving::BatchResult;
using serving::DataType;
using serving::Tensor;
using std::chrono::steady_clock;

// A single piece is used in place.
Tensor join(const BatchInput& input, std::string name) {
  Tensor joined{std::move(name), input.datatype, input.shape, {}};
  if (input.pieces.size() == 1) {
    joined.data = input.pieces.front();
    return joined;
  }
  std::string bytes;
  for (const serving::Buffer& piece : input.pieces) {
    bytes.append(reinterpret_cast<const char*>(piece.data), piece.size);
  }
  joined.data = serving::make_buffer(std::move(bytes));
  return joined;
}

std::vector<int32_t> numbers_of(const Tensor& tensor) {
  std::vector<int32_t> numbers(tensor.data.size / sizeof(int32_t));
  if (!numbers.empty()) std::memcpy(numbers.data(), tensor.data.data, numbers.size() * sizeof(int32_t));
  return numbers;
}

const BatchInput* find(const Batch& batch, std::string_view name) {
  const auto found = std::ranges::find(batch.inputs, name, &BatchInput::name);
  return found == batch.inputs.end() ? nullptr : &*found;
}

class IdentityInstance final : public serving::Instance {
 public:
  explicit IdentityInstance(std::chrono::milliseconds delay) : delay_(delay) {}
  absl::StatusOr<BatchResult> execute(const Batch& batch) override {
    BatchResult result;
    result.outputs = {join(batch.inputs.front(), "OUTPUT0")};
    result.inputs_ready = steady_clock::now();
    std::this_thread::sleep_for(delay_);
    result.computed = steady_clock::now();
    return result;
  }

 private:
  const std::chrono::milliseconds delay_;
};

// Counts a step further each time, until INPUT0 is reached.
class CountInstance final : public serving::Instance {
 public:
  explicit CountInstance(std::chrono::milliseconds delay) : delay_(delay) {}
  absl::StatusOr<BatchResult> execute(const Batch& batch) override {
    const BatchInput* goal = find(batch, "INPUT0");
    const BatchInput* state = find(batch, "STATE_IN");
    if (goal == nullptr || state == nullptr) {
      return absl::InvalidArgumentError("a model of kind count needs the inputs INPUT0 and STATE_IN");
    }
    const std::vector<int32_t> goals = numbers_of(join(*goal, ""));
    BatchResult result;
    Tensor count = join(*state, "OUTPUT0");
    std::vector<int32_t> counts = numbers_of(count);
    for (size_t i = 0; i < counts.size(); ++i) {
      ++counts[i];
      result.again.push_back(counts[i] < goals[i]);
    }
    result.inputs_ready = steady_clock::now();
    std::this_thread::sleep_for(delay_);
    count.data = serving::int32_tensor("", counts).data;
    result.outputs = {count, count};
    result.outputs.back().name = "STATE_OUT";
    result.computed = steady_clock::now();
    return result;
  }

 private:
  const std::chrono::milliseconds delay_;
};

}  // namespace

BatchedModel::BatchedModel(const Settings& settings, const serving::ModelSource& source)
    : settings_(settings) {
  metadata_.name = source.name;
  metadata_.platform = "echo";
  metadata_.max_batch_size = source.max_batch_size;
  if (settings.kind == Settings::Kind::kCount) {
    metadata_.inputs = {{"INPUT0", DataType::kInt32, {-1, 1}}, {"STATE_IN", DataType::kInt32, {-1, 1}}};
    metadata_.outputs = {{"OUTPUT0", DataType::kInt32, {-1, 1}}, {"STATE_OUT", DataType::kInt32, {-1, 1}}};
    return;
  }
  std::vector<int64_t> shape = settings.shape;
  if (shape.size() < 2) shape.insert(shape.begin(), -1);
  metadata_.inputs = {{"INPUT0", settings.datatype, shape}};
  metadata_.outputs = {{"OUTPUT0", settings.datatype, shape}};
}

absl::StatusOr<std::unique_ptr<serving::Instance>> BatchedModel::make_instance(const serving::Placement&) {
  if (settings_.kind == Settings::Kind::kCount) return std::make_unique<CountInstance>(settings_.delay);
  return std::make_unique<IdentityInstance>(settings_.delay);
}

}  // namespace zeta::echo
