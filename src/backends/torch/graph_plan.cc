#include "src/backends/torch/graph_plan.h"

#include <algorithm>
#include <utility>

#include "src/base/concat.h"
#include "src/serving/tensor.h"

namespace zeta::torch_backend {
namespace {

using Shapes = std::vector<std::vector<int64_t>>;
using serving::CudaGraphSpec;
using serving::ModelSource;
using serving::TensorMetadata;

template <class... Parts>
absl::Status invalid(const ModelSource& source, const Parts&... parts) {
  return absl::InvalidArgumentError(concat("model '", source.name, "': optimization.cuda.", parts...));
}

// Without the batch dimension.
std::vector<int64_t> dims_of(const TensorMetadata& tensor, const ModelSource& source) {
  return {tensor.shape.begin() + (source.max_batch_size > 0 ? 1 : 0), tensor.shape.end()};
}

bool varies(const std::vector<int64_t>& dims) {
  return std::ranges::any_of(dims, [](int64_t dim) { return dim < 0; });
}

bool agrees(const std::vector<int64_t>& dims, const std::vector<int64_t>& configured) {
  return std::ranges::equal(
      dims, configured, [](int64_t dim, int64_t known) { return dim > 0 && (known < 0 || dim == known); });
}

std::vector<int64_t> with_batch(std::vector<int64_t> dims, int64_t batch, const ModelSource& source) {
  if (source.max_batch_size > 0) dims.insert(dims.begin(), batch);
  return dims;
}

absl::Status check_names(const ModelSource& source, const CudaGraphSpec::Inputs& inputs, const char* field) {
  for (const auto& [name, dims] : inputs) {
    if (std::ranges::find(source.inputs, name, &TensorMetadata::name) != source.inputs.end()) continue;
    return invalid(source, field, " names '", name, "', which is no input of the model");
  }
  return absl::OkStatus();
}

// The shapes of all inputs. `fallback` is what an input has that `given` does not name.
absl::StatusOr<Shapes> shapes_of(const ModelSource& source, const CudaGraphSpec::Inputs& given, int64_t batch,
                                 const Shapes* fallback, const char* field) {
  const int64_t most = source.max_batch_size;
  if (most == 0 ? batch != 0 : (batch < 1 || batch > most)) {
    return invalid(source, field, ".batch_size is ", batch, ", expected ",
                   most == 0 ? std::string("0, since max_batch_size is 0") : concat("1 to ", most));
  }
  if (absl::Status status = check_names(source, given, field); !status.ok()) return status;
  Shapes shapes;
  for (size_t i = 0; i < source.inputs.size(); ++i) {
    const TensorMetadata& input = source.inputs[i];
    const std::vector<int64_t> configured = dims_of(input, source);
    std::vector<int64_t> dims = configured;
    if (const auto found = given.find(input.name); found != given.end()) {
      dims = found->second;
      if (!agrees(dims, configured)) {
        return invalid(source, field, ".input '", input.name, "' has dims ", serving::shape_text(dims),
                       ", but the model's are ", serving::shape_text(configured));
      }
    } else if (fallback != nullptr) {
      dims.assign((*fallback)[i].begin() + (most > 0 ? 1 : 0), (*fallback)[i].end());
    } else if (varies(configured)) {
      return invalid(source, field, " says no dims of input '", input.name, "', whose dims ",
                     serving::shape_text(configured), " vary");
    }
    shapes.push_back(with_batch(std::move(dims), batch, source));
  }
  return shapes;
}

bool within(const Shapes& least, const Shapes& most) {
  for (size_t i = 0; i < most.size(); ++i) {
    const bool fits =
        std::ranges::equal(least[i], most[i], [](int64_t low, int64_t high) { return low <= high; });
    if (!fits) return false;
  }
  return true;
}

// Padding shows in outputs whose dims follow the inputs', and there is no telling where to cut them.
absl::Status check_outputs_fixed(const ModelSource& source) {
  for (const TensorMetadata& output : source.outputs) {
    if (!varies(dims_of(output, source))) continue;
    return invalid(source,
                   "graph_spec.graph_lower_bound gives inputs other dims than the graph's, but output '",
                   output.name, "' has dims ", serving::shape_text(dims_of(output, source)),
                   ", which may depend on them: expected a lower bound of the batch size alone");
  }
  return absl::OkStatus();
}

absl::StatusOr<GraphShapes> specified(const ModelSource& source, const CudaGraphSpec& spec) {
  auto most = shapes_of(source, spec.inputs, spec.batch_size, nullptr, "graph_spec");
  if (!most.ok()) return most.status();
  if (!spec.lower_bound) return GraphShapes{*most, *most};
  const auto& bound = *spec.lower_bound;
  auto least = shapes_of(source, bound.inputs, bound.batch_size, &*most, "graph_spec.graph_lower_bound");
  if (!least.ok()) return least.status();
  if (!within(*least, *most)) {
    return invalid(source, "graph_spec.graph_lower_bound is not below the graph's own sizes");
  }
  const auto same_dims = shapes_of(source, bound.inputs, spec.batch_size, &*most, "graph_spec");
  if (same_dims.ok() && *same_dims != *most) {
    if (absl::Status status = check_outputs_fixed(source); !status.ok()) return status;
  }
  return GraphShapes{*std::move(most), *std::move(least)};
}

GraphPlan automatic(const ModelSource& source) {
  GraphPlan plan;
  for (const TensorMetadata& input : source.inputs) {
    const std::vector<int64_t> dims = dims_of(input, source);
    if (!varies(dims)) continue;
    plan.why_none = concat("input '", input.name, "' has dims ", serving::shape_text(dims),
                           ": say in graph_spec which of them to capture");
    return plan;
  }
  int64_t batch = source.max_batch_size > 0 ? 1 : 0;
  do {
    Shapes shapes;
    for (const TensorMetadata& input : source.inputs) {
      shapes.push_back(with_batch(dims_of(input, source), batch, source));
    }
    plan.graphs.push_back({shapes, shapes});
    batch *= 2;
  } while (batch != 0 && batch <= source.max_batch_size);
  return plan;
}

int64_t elements(const GraphShapes& graph) {
  int64_t sum = 0;
  for (const auto& shape : graph.most) sum += serving::element_count(shape).value_or(0);
  return sum;
}

}  // namespace

bool GraphShapes::takes(const Shapes& shapes) const {
  const auto ranks_agree = [](const auto& one, const auto& other) { return one.size() == other.size(); };
  return std::ranges::equal(shapes, most, ranks_agree) && within(shapes, most) && within(least, shapes);
}

absl::StatusOr<GraphPlan> plan_graphs(const ModelSource& source) {
  GraphPlan plan;
  if (!source.cuda.graphs) return plan;
  for (const auto* tensors : {&source.inputs, &source.outputs}) {
    const auto text = std::ranges::find(*tensors, serving::DataType::kBytes, &TensorMetadata::datatype);
    if (text != tensors->end()) plan.why_none = concat("tensor '", text->name, "' is of TYPE_STRING");
  }
  if (!plan.why_none.empty()) return plan;
  if (source.cuda.graph_specs.empty()) return automatic(source);
  for (const CudaGraphSpec& spec : source.cuda.graph_specs) {
    auto shapes = specified(source, spec);
    if (!shapes.ok()) return shapes.status();
    plan.graphs.push_back(*std::move(shapes));
  }
  std::ranges::stable_sort(plan.graphs, {}, elements);
  return plan;
}

}  // namespace zeta::torch_backend
