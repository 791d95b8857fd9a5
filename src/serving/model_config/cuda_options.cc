#include "src/serving/model_config/cuda_options.h"

#include <utility>

namespace zeta::serving {
namespace {

template <class Map>
CudaGraphSpec::Inputs to_inputs(const Map& shapes) {
  CudaGraphSpec::Inputs inputs;
  for (const auto& [name, shape] : shapes) inputs[name].assign(shape.dim().begin(), shape.dim().end());
  return inputs;
}

}  // namespace

CudaOptions cuda_options(const inference::ModelConfig& config) {
  const auto& cuda = config.optimization().cuda();
  CudaOptions options;
  options.graphs = cuda.graphs();
  options.busy_wait_events = cuda.busy_wait_events();
  options.output_copy_stream = cuda.output_copy_stream();
  for (const auto& proto : cuda.graph_spec()) {
    CudaGraphSpec spec;
    spec.batch_size = proto.batch_size();
    spec.inputs = to_inputs(proto.input());
    if (proto.has_graph_lower_bound()) {
      const auto& bound = proto.graph_lower_bound();
      spec.lower_bound = CudaGraphSpec::LowerBound{bound.batch_size(), to_inputs(bound.input())};
    }
    options.graph_specs.push_back(std::move(spec));
  }
  return options;
}

}  // namespace zeta::serving
