// A model's CUDA graphs on one instance.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/backends/torch/cuda.h"
#include "src/backends/torch/forward.h"
#include "src/backends/torch/graph_plan.h"
#include "src/backends/torch/results.h"
#include "src/serving/backend.h"

namespace zeta::torch_backend {

class Graphs {
 public:
  // Runs, records and tries each graph of `plan`: a replay must give what an eager run gives, on two random
  // inputs. Where one does not, or cannot be recorded, there are none at all and `why_none` says why. All
  // arguments outlive the result. The current stream is the queue's.
  Graphs(const GraphPlan& plan, const serving::ModelSource& source, const Results& results,
         const at::Device& device, CudaQueue& queue, Forward& forward);

  bool empty() const { return graphs_.empty(); }
  const std::string& why_none() const { return why_none_; }

  // A graph that takes the batch's shapes; null when there is none, or an optional input is missing.
  struct Graph;
  Graph* find(const serving::Batch& batch) const;

  // Puts the inputs where `graph` reads them. InvalidArgument as to_tensor().
  absl::Status load(Graph& graph, const serving::Batch& batch) const;
  // Its outputs, which the next replay overwrites.
  static const c10::IValue& replay(Graph& graph);
  // Takes off what padding has added to `outputs`.
  void cut(const Graph& graph, const serving::Batch& batch, std::vector<serving::Tensor>& outputs) const;

  ~Graphs();

 private:
  std::unique_ptr<Graph> make(const GraphShapes& shapes, CudaQueue& queue, Forward& forward,
                              const at::Device& device);
  absl::Status check(Graph& graph, CudaQueue& queue, Forward& forward) const;
  absl::StatusOr<std::vector<serving::Tensor>> read(const c10::IValue& value, CudaQueue& queue) const;

  const serving::ModelSource& source_;
  const Results& results_;
  std::vector<std::unique_ptr<Graph>> graphs_;
  std::string why_none_;
};

}  // namespace zeta::torch_backend
