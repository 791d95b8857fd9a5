// An instance of a PyTorch model: inputs in, computation, outputs out.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/backends/torch/device.h"
#include "src/backends/torch/forward.h"
#include "src/backends/torch/graph_plan.h"
#include "src/backends/torch/graphs.h"
#include "src/backends/torch/results.h"
#include "src/backends/torch/settings.h"
#include "src/serving/backend.h"

namespace zeta::torch_backend {

// What all instances of a model share, and what they found. Thread-safe.
class Shared {
 public:
  Shared(serving::ModelSource from, const Settings& how, Results matched, GraphPlan planned)
      : source(std::move(from)), settings(how), results(std::move(matched)), plan(std::move(planned)) {}

  const serving::ModelSource source;  // complete: it has inputs and outputs
  const Settings settings;
  const Results results;
  const GraphPlan plan;

  std::atomic<uint64_t> graph_replays{0};
  std::atomic<int64_t> weight_copies{0};

  // What whoever runs the server should know; each text once.
  void add_notice(const std::string& notice);
  std::string notice() const;
  std::vector<serving::MetricSample> metrics() const;

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> notices_;
};

class TorchInstance final : public serving::Instance {
 public:
  // Captures CUDA graphs, where the model asks for them and the place is a GPU. `shared` outlives it.
  TorchInstance(const std::string& name, Place place, std::unique_ptr<Forward> forward, Shared& shared);

  absl::StatusOr<serving::BatchResult> execute(const serving::Batch& batch) override;

 private:
  absl::StatusOr<serving::BatchResult> run(const serving::Batch& batch);
  absl::StatusOr<std::vector<c10::IValue>> read_inputs(const serving::Batch& batch) const;
  absl::StatusOr<std::vector<serving::Tensor>> read_outputs(const c10::IValue& value,
                                                            const serving::Batch& batch,
                                                            serving::BatchResult& result);
  void capture(const std::string& name);
  void recover();

  Shared& shared_;
  const Place place_;
  const std::unique_ptr<Forward> forward_;  // before the graphs, which hold its memory
  std::optional<Graphs> graphs_;
};

}  // namespace zeta::torch_backend
