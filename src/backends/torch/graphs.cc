#include "src/backends/torch/graphs.h"

#include <ATen/Functions.h>
#include <ATen/Generator.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "src/backends/torch/output_difference.h"
#include "src/backends/torch/tensors.h"
#include "src/base/concat.h"
#include "src/serving/tensor.h"

namespace zeta::torch_backend {

struct Graphs::Graph {
  GraphShapes shapes;
  std::vector<at::Tensor> inputs;  // where it reads
  c10::IValue output;              // where it writes
  std::unique_ptr<CudaGraph> recorded;
};

namespace {

constexpr int kWarmupRuns = 3;  // TorchScript profiles in the first and compiles in the second
constexpr int kTrials = 2;

// Integers are 0 or 1: what is larger may be an index beyond a table, which would end all work on the GPU.
void fill(at::Tensor& tensor) {
  if (tensor.is_floating_point()) {
    tensor.normal_();
  } else {
    tensor.random_(0, 2);
  }
}

std::vector<c10::IValue> values_of(const std::vector<at::Tensor>& tensors) {
  return {tensors.begin(), tensors.end()};
}

std::vector<c10::IValue> copies_of(const std::vector<at::Tensor>& tensors) {
  std::vector<c10::IValue> copies;
  for (const at::Tensor& tensor : tensors) copies.emplace_back(tensor.clone());
  return copies;
}

std::string text_of(const GraphShapes& shapes) {
  std::string text;
  for (const auto& shape : shapes.most) text += (text.empty() ? "" : ", ") + serving::shape_text(shape);
  return text;
}

const serving::BatchInput* find_input(const serving::Batch& batch, const std::string& name) {
  const auto found = std::ranges::find(batch.inputs, name, &serving::BatchInput::name);
  return found == batch.inputs.end() ? nullptr : &*found;
}

}  // namespace

Graphs::~Graphs() = default;

Graphs::Graphs(const GraphPlan& plan, const serving::ModelSource& source, const Results& results,
               const at::Device& device, CudaQueue& queue, Forward& forward)
    : source_(source), results_(results), why_none_(plan.why_none) {
  if (plan.graphs.empty()) return;
  why_none_ = forward.why_not_recorded();
  if (!why_none_.empty()) return;
  // The largest first: the others find room in its memory.
  for (auto shapes = plan.graphs.rbegin(); shapes != plan.graphs.rend() && why_none_.empty(); ++shapes) {
    const char* step = "cannot be recorded";
    try {
      auto graph = make(*shapes, queue, forward, device);
      step = "cannot be tried";
      if (absl::Status status = check(*graph, queue, forward); !status.ok()) {
        why_none_ = concat("for inputs ", text_of(*shapes), " ", std::string(status.message()));
      }
      graphs_.insert(graphs_.begin(), std::move(graph));
    } catch (const c10::Error& error) {
      why_none_ = concat("for inputs ", text_of(*shapes), " it ", step, ": ", error.what_without_backtrace());
    } catch (const std::exception& error) {
      why_none_ = concat("for inputs ", text_of(*shapes), " it ", step, ": ", error.what());
    }
  }
  if (!why_none_.empty()) graphs_.clear();
  forward.restore(!graphs_.empty());
  queue.wait();
}

std::unique_ptr<Graphs::Graph> Graphs::make(const GraphShapes& shapes, CudaQueue& queue, Forward& forward,
                                            const at::Device& device) {
  auto graph = std::make_unique<Graph>();
  graph->shapes = shapes;
  for (size_t i = 0; i < shapes.most.size(); ++i) {
    const at::ScalarType type = *to_scalar_type(source_.inputs[i].datatype);
    graph->inputs.push_back(at::zeros(shapes.most[i], at::TensorOptions(type).device(device)));
    fill(graph->inputs.back());
  }
  for (int i = 0; i < kWarmupRuns; ++i) forward.run(values_of(graph->inputs));
  graph->recorded = queue.record([&] { graph->output = forward.run(values_of(graph->inputs)); });
  return graph;
}

absl::StatusOr<std::vector<serving::Tensor>> Graphs::read(const c10::IValue& value, CudaQueue& queue) const {
  auto outputs = results_.read(value, {}, /*non_blocking=*/false);
  queue.wait();
  return outputs;
}

absl::Status Graphs::check(Graph& graph, CudaQueue& queue, Forward& forward) const {
  for (int trial = 0; trial < kTrials; ++trial) {
    for (at::Tensor& input : graph.inputs) fill(input);
    // An eager run may write to its inputs.
    std::vector<c10::IValue> copies = copies_of(graph.inputs);
    replay(graph);
    const auto replayed = read(graph.output, queue);
    if (!replayed.ok()) return replayed.status();
    const auto eager = read(forward.run(std::move(copies)), queue);
    if (!eager.ok()) return eager.status();
    const std::string difference = output_difference(*eager, *replayed);
    if (!difference.empty()) {
      return absl::InternalError(concat("a replay differs from an eager run: ", difference));
    }
  }
  return absl::OkStatus();
}

Graphs::Graph* Graphs::find(const serving::Batch& batch) const {
  if (graphs_.empty()) return nullptr;
  std::vector<std::vector<int64_t>> shapes;
  for (const serving::TensorMetadata& input : source_.inputs) {
    const serving::BatchInput* given = find_input(batch, input.name);
    if (given == nullptr || given->datatype != input.datatype) return nullptr;
    shapes.push_back(given->shape);
  }
  const auto found =
      std::ranges::find_if(graphs_, [&](const auto& graph) { return graph->shapes.takes(shapes); });
  return found == graphs_.end() ? nullptr : found->get();
}

absl::Status Graphs::load(Graph& graph, const serving::Batch& batch) const {
  for (size_t i = 0; i < graph.inputs.size(); ++i) {
    const serving::BatchInput& given = *find_input(batch, source_.inputs[i].name);
    const auto host = to_host(given, /*pinned=*/true);
    if (!host.ok()) return host.status();
    at::Tensor target = graph.inputs[i];
    if (given.shape != graph.shapes.most[i]) {
      target.zero_();
      for (size_t dim = 0; dim < given.shape.size(); ++dim) {
        target = target.narrow(static_cast<int64_t>(dim), 0, given.shape[dim]);
      }
    }
    target.copy_(*host, /*non_blocking=*/true);
  }
  return absl::OkStatus();
}

const c10::IValue& Graphs::replay(Graph& graph) {
  graph.recorded->replay();
  return graph.output;
}

void Graphs::cut(const Graph& graph, const serving::Batch& batch,
                 std::vector<serving::Tensor>& outputs) const {
  if (source_.max_batch_size == 0) return;
  const int64_t padded = graph.shapes.most.empty() ? batch.size : graph.shapes.most[0][0];
  if (padded == batch.size) return;
  for (serving::Tensor& output : outputs) {
    if (output.shape.empty() || output.shape[0] != padded) continue;
    output.data.size = output.data.size / static_cast<size_t>(padded) * static_cast<size_t>(batch.size);
    output.shape[0] = batch.size;
  }
}

}  // namespace zeta::torch_backend
