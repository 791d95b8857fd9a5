#include "src/backends/torch/instance.h"

#include <ATen/DeviceAccelerator.h>
#include <c10/core/StreamGuard.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <utility>

#include "src/backends/torch/execution.h"
#include "src/backends/torch/signature.h"
#include "src/backends/torch/tensors.h"
#include "src/base/concat.h"
#include "src/serving/tensor.h"

namespace zeta::torch_backend {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kReplays = "nv_cuda_graph_replay_count";

}  // namespace

void Shared::add_notice(const std::string& notice) {
  const std::lock_guard lock(mutex_);
  const bool is_new = std::ranges::find(notices_, notice) == notices_.end();
  if (is_new && !notice.empty()) notices_.push_back(notice);
}

std::string Shared::notice() const {
  const std::lock_guard lock(mutex_);
  std::string all;
  for (const std::string& notice : notices_) all += (all.empty() ? "" : "; ") + notice;
  return all;
}

std::vector<serving::MetricSample> Shared::metrics() const {
  using Kind = serving::MetricSample::Kind;
  std::vector<serving::MetricSample> samples{{"zeta_torch_weight_copies",
                                              "Copies of the model's weights in memory", Kind::kGauge,
                                              static_cast<double>(weight_copies)}};
  if (source.cuda.graphs) {
    samples.push_back({kReplays, "Number of model executions that replayed a CUDA graph", Kind::kCounter,
                       static_cast<double>(graph_replays)});
  }
  return samples;
}

TorchInstance::TorchInstance(const std::string& name, Place place, std::unique_ptr<Forward> forward,
                             Shared& shared)
    : shared_(shared), place_(std::move(place)), forward_(std::move(forward)) {
  if (shared_.source.cuda.graphs) capture(name);
}

void TorchInstance::capture(const std::string& name) {
  if (place_.compute == nullptr) {
    return shared_.add_notice("optimization.cuda.graphs: not captured on the CPU");
  }
  const ExecutionMode mode(shared_.settings);
  const c10::StreamGuard on(place_.compute->stream());
  graphs_.emplace(shared_.plan, shared_.source, shared_.results, place_.device, *place_.compute, *forward_);
  if (!graphs_->empty()) return;
  shared_.add_notice(
      concat("optimization.cuda.graphs: instance ", name, " runs eager: ", graphs_->why_none()));
}

absl::StatusOr<serving::BatchResult> TorchInstance::execute(const serving::Batch& batch) {
  auto result = guarded([&] { return run(batch); });
  if (absl::IsInternal(result.status())) recover();
  return result;
}

// Gives back what a failed run has left: its memory, and the wait for what it had put on the stream.
void TorchInstance::recover() {
  if (place_.compute == nullptr) return;
  try {
    place_.compute->wait();
  } catch (const std::exception&) {
    // The GPU has failed for good; the next request will say so.
  }
  give_back_gpu_memory();
}

absl::StatusOr<std::vector<c10::IValue>> TorchInstance::read_inputs(const serving::Batch& batch) const {
  std::vector<c10::IValue> values;
  for (const serving::TensorMetadata& input : shared_.source.inputs) {
    const auto given = std::ranges::find(batch.inputs, input.name, &serving::BatchInput::name);
    if (given == batch.inputs.end()) {
      if (forward_->needs_all_inputs()) {
        return absl::InvalidArgumentError(concat("input '", input.name, "' is missing"));
      }
      values.emplace_back();
      continue;
    }
    if (absl::Status status = check_shape(input, *given); !status.ok()) return status;
    auto value = to_value(*given, place_.device);
    if (!value.ok()) return value.status();
    values.push_back(*std::move(value));
  }
  return values;
}

absl::StatusOr<std::vector<serving::Tensor>> TorchInstance::read_outputs(const c10::IValue& value,
                                                                         const serving::Batch& batch,
                                                                         serving::BatchResult& result) {
  if (place_.compute == nullptr) {
    result.computed = Clock::now();
    auto outputs = shared_.results.read(value, batch.outputs, /*non_blocking=*/false);
    if (!outputs.ok() || !forward_->is_stateful()) return outputs;
    for (serving::Tensor& output : *outputs) {
      const auto* bytes = reinterpret_cast<const char*>(output.data.data);
      output.data = serving::make_buffer(std::string(bytes, output.data.size));
    }
    return outputs;
  }
  CudaQueue& queue = place_.copy ? *place_.copy : *place_.compute;
  place_.copy ? queue.follow(*place_.compute) : queue.mark();
  const c10::StreamGuard on(queue.stream());
  auto outputs = shared_.results.read(value, batch.outputs, /*non_blocking=*/true);
  queue.wait();
  result.computed = Clock::now() - queue.since_mark();
  return outputs;
}

absl::StatusOr<serving::BatchResult> TorchInstance::run(const serving::Batch& batch) {
  const ExecutionMode mode(shared_.settings);
  std::optional<c10::StreamGuard> on;
  if (place_.compute != nullptr) on.emplace(place_.compute->stream());
  serving::BatchResult result;
  Graphs::Graph* graph = graphs_ ? graphs_->find(batch) : nullptr;
  c10::IValue value;
  if (graph != nullptr) {
    if (absl::Status status = graphs_->load(*graph, batch); !status.ok()) return status;
    result.inputs_ready = Clock::now();
    value = Graphs::replay(*graph);
    ++shared_.graph_replays;
  } else {
    auto inputs = read_inputs(batch);
    if (!inputs.ok()) return inputs.status();
    result.inputs_ready = Clock::now();
    value = forward_->run(*std::move(inputs));
  }
  auto outputs = read_outputs(value, batch, result);
  if (!outputs.ok()) return outputs.status();
  result.outputs = *std::move(outputs);
  if (graph != nullptr) graphs_->cut(*graph, batch, result.outputs);
  if (place_.compute != nullptr && shared_.settings.enable_cache_cleaning) at::accelerator::emptyCache();
  return result;
}

}  // namespace zeta::torch_backend
