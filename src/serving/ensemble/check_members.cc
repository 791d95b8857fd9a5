#include "src/serving/ensemble/check_members.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "src/base/concat.h"
#include "src/serving/ensemble/plan.h"
#include "src/serving/tensor.h"

namespace zeta::serving {
namespace {

using inference::ModelConfig;
using Dims = std::vector<int64_t>;

template <class... Parts>
absl::Status invalid(const Parts&... parts) {
  return absl::InvalidArgumentError(concat(parts...));
}

// A tensor of the ensemble, as the model that was first seen to use it has it.
struct Node {
  std::string model;
  inference::DataType type;
  Dims dims, full_dims;  // without and with the batch dimension
};

template <class Proto>
Node make_node(const std::string& model, const ModelConfig& config, const Proto& proto, bool reshaped) {
  const auto& dims = reshaped && proto.has_reshape() ? proto.reshape().shape() : proto.dims();
  Node node{model, proto.data_type(), {dims.begin(), dims.end()}, {}};
  node.full_dims = node.dims;
  if (config.max_batch_size() > 0) node.full_dims.insert(node.full_dims.begin(), -1);
  return node;
}

bool can_be(const Dims& a, const Dims& b) {
  return std::ranges::equal(a, b, [](int64_t x, int64_t y) { return x == y || x == -1 || y == -1; });
}

class MemberCheck {
 public:
  MemberCheck(const ModelConfig& ensemble, const EnsembleMembers& members)
      : ensemble_(ensemble), members_(members), in_(concat("in ensemble ", ensemble.name(), ", ")) {
    for (const auto& input : ensemble.input())
      nodes_.emplace(input.name(), make_node(ensemble.name(), ensemble, input, true));
    for (const auto& output : ensemble.output())
      nodes_.emplace(output.name(), make_node(ensemble.name(), ensemble, output, true));
  }

  absl::StatusOr<bool> run() {
    const EnsemblePlan plan = ensemble_plan(ensemble_);
    std::vector<bool> decoupled;
    for (const EnsembleStep& step : plan.steps) {
      const auto config = members_.config(step.model, step.version);
      if (!config.ok()) return invalid(in_, std::string(config.status().message()));
      if (absl::Status status = check_step(step, **config); !status.ok()) return status;
      decoupled.push_back((*config)->model_transaction_policy().decoupled());
    }
    return label(plan, decoupled);
  }

 private:
  absl::Status check_step(const EnsembleStep& step, const ModelConfig& member) {
    const int most = member.max_batch_size();
    if (most != 0 && most < ensemble_.max_batch_size()) {
      return invalid("ensemble ", ensemble_.name(), " allows maximum batch size ", ensemble_.max_batch_size(),
                     ", but it contains model ", step.model, " which only allows maximum batch size to be ",
                     most);
    }
    absl::Status status =
        check_names(step, step.inputs, member.input(), " is mapping to non-existing input ");
    if (status.ok()) status = check_inputs(step, member);
    if (status.ok())
      status = check_names(step, step.outputs, member.output(), " is mapped from non-existing output ");
    if (status.ok()) status = check_types(step, step.outputs, member, member.output());
    return status;
  }

  template <class Tensors>
  absl::Status check_names(const EnsembleStep& step, const std::map<std::string, std::string>& map,
                           const Tensors& tensors, std::string_view what) const {
    for (const auto& [name, tensor] : map) {
      if (std::ranges::any_of(tensors, [&](const auto& known) { return known.name() == name; })) continue;
      return invalid(in_, "ensemble tensor ", tensor, what, name, " in model ", step.model);
    }
    return absl::OkStatus();
  }

  absl::Status check_inputs(const EnsembleStep& step, const ModelConfig& member) {
    for (const auto& input : member.input()) {
      if (step.inputs.contains(input.name()) || input.optional()) continue;
      return invalid(in_, "input ", input.name(), " in model ", step.model,
                     " is not mapped to any ensemble tensors");
    }
    return check_types(step, step.inputs, member, member.input());
  }

  template <class Tensors>
  absl::Status check_types(const EnsembleStep& step, const std::map<std::string, std::string>& map,
                           const ModelConfig& member, const Tensors& tensors) {
    for (const auto& proto : tensors) {
      const auto mapped = map.find(proto.name());
      if (mapped == map.end()) continue;
      const Node found = make_node(step.model, member, proto, false);
      const auto [known, is_new] = nodes_.emplace(mapped->second, found);
      if (is_new) continue;
      const std::string which = concat(in_, "ensemble tensor ", mapped->second, ": ");
      if (absl::Status status = compare(which, known->second, found); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  static absl::Status compare(const std::string& which, const Node& a, const Node& b) {
    if (a.type != b.type) {
      return invalid(which, "inconsistent data type: ", inference::DataType_Name(a.type),
                     " is inferred from model ", a.model, " while ", inference::DataType_Name(b.type),
                     " is inferred from model ", b.model);
    }
    // With the batch dimension too: a tensor may go from a model with batches to one without.
    if (can_be(a.dims, b.dims) || can_be(a.full_dims, b.full_dims)) return absl::OkStatus();
    return invalid(which, "inconsistent shape: ", shape_text(a.full_dims), " is inferred from model ",
                   a.model, " while ", shape_text(b.full_dims), " is inferred from model ", b.model);
  }

  // Gives each tensor the number of the decoupled step that it comes from, 0 for none: only tensors of the
  // same one come in the same number.
  absl::StatusOr<bool> label(const EnsemblePlan& plan, const std::vector<bool>& decoupled) const {
    std::map<std::string, size_t> labels;
    for (const auto& input : ensemble_.input()) labels.emplace(input.name(), 0);
    const auto refusal = [&](const std::string& model) {
      return invalid(in_, "step of model '", model,
                     "' receives inputs originated from different decoupled models");
    };
    std::set<size_t> left;
    for (size_t i = 0; i < plan.steps.size(); ++i) left.insert(i);
    size_t last = 0;
    while (!left.empty()) {
      const auto next = std::ranges::find_if(left, [&](size_t i) {
        return std::ranges::all_of(plan.steps[i].inputs,
                                   [&](const auto& pair) { return labels.contains(pair.second); });
      });
      if (next == left.end()) return invalid(in_, "steps wait for each other");
      const EnsembleStep& step = plan.steps[*next];
      std::set<size_t> origins;
      for (const auto& [name, tensor] : step.inputs) origins.insert(labels.at(tensor));
      if (origins.size() > 1) return refusal(step.model);
      const size_t origin = decoupled[*next] ? ++last : origins.empty() ? 0 : *origins.begin();
      for (const auto& [name, tensor] : step.outputs) labels.emplace(tensor, origin);
      left.erase(next);
    }
    std::set<size_t> origins;
    for (const auto& output : ensemble_.output()) origins.insert(labels.at(output.name()));
    if (origins.size() > 1) return refusal(ensemble_.name());
    return last != 0;
  }

  const ModelConfig& ensemble_;
  const EnsembleMembers& members_;
  const std::string in_;
  std::map<std::string, Node> nodes_;
};

}  // namespace

absl::StatusOr<bool> check_ensemble_members(const ModelConfig& ensemble, const EnsembleMembers& members) {
  return MemberCheck(ensemble, members).run();
}

}  // namespace zeta::serving
