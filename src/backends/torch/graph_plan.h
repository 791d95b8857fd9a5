// For which shapes CUDA graphs are captured.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/serving/backend.h"

namespace zeta::torch_backend {

// A graph runs with inputs of the shapes `most`, batch dimension included and in the order of the
// configuration. What is smaller, but not below `least`, is padded with zeros; the two are equal where the
// configuration gives no lower bound.
struct GraphShapes {
  std::vector<std::vector<int64_t>> most, least;

  bool takes(const std::vector<std::vector<int64_t>>& shapes) const;
};

struct GraphPlan {
  std::vector<GraphShapes> graphs;  // the smallest first
  std::string why_none;             // set when there are none
};

// Those of the model's graph_spec; else one for each power of two up to max_batch_size (the one shape where
// that is 0), if no other dimension varies. Empty when no graphs are asked for. InvalidArgument names the
// model, what the specification says and what it may say.
absl::StatusOr<GraphPlan> plan_graphs(const serving::ModelSource& source);

}  // namespace zeta::torch_backend
