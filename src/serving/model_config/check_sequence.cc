#include "src/serving/model_config/check_sequence.h"

#include <algorithm>
#include <set>
#include <string>

namespace zeta::serving {
namespace {

using inference::ModelConfig;
using Control = inference::ModelSequenceBatching::Control;

template <class... Parts>
absl::Status invalid(const Parts&... parts) {
  return absl::InvalidArgumentError(concat(parts...));
}

// The pair of values that says no and yes, of which exactly one kind must be there.
absl::Status check_values(const ModelConfig& config, const Control& control) {
  const std::string& kind = Control::Kind_Name(control.kind());
  const struct {
    const char* name;
    int size;
  } pairs[] = {{"int32_false_true", control.int32_false_true_size()},
               {"fp32_false_true", control.fp32_false_true_size()},
               {"bool_false_true", control.bool_false_true_size()}};
  int given = 0;
  for (const auto& pair : pairs) {
    if (pair.size == 0) continue;
    ++given;
    if (control.kind() == Control::CONTROL_SEQUENCE_CORRID) break;
    if (pair.size != 2) {
      return invalid("sequence batching control '", pair.name, "' must have exactly 2 entries for ", kind,
                     " for ", config.name());
    }
  }
  constexpr std::string_view kNames = "'int32_false_true', 'fp32_false_true'";
  if (control.kind() == Control::CONTROL_SEQUENCE_CORRID) {
    if (given == 0) return absl::OkStatus();
    return invalid("sequence batching must not specify either ", kNames, " or 'bool_false_true' for ", kind,
                   " for ", config.name());
  }
  if (given == 0) {
    return invalid("sequence batching must specify either ", kNames, " or 'bool_false_true' for ", kind,
                   " for ", config.name());
  }
  if (given == 1) return absl::OkStatus();
  return invalid("sequence batching specifies more than one from ", kNames, " and 'bool_false_true' for ",
                 kind, " for ", config.name());
}

absl::Status check_control(const ModelConfig& config, const Control& control) {
  if (absl::Status status = check_values(config, control); !status.ok()) return status;
  if (control.kind() != Control::CONTROL_SEQUENCE_CORRID) return absl::OkStatus();
  switch (control.data_type()) {
    case inference::TYPE_UINT64:
    case inference::TYPE_INT64:
    case inference::TYPE_UINT32:
    case inference::TYPE_INT32:
    case inference::TYPE_STRING:
      return absl::OkStatus();
    default:
      return invalid(
          "unexpected data type for control CONTROL_SEQUENCE_CORRID for ", config.name(),
          ". Allowed data types are TYPE_UINT64, TYPE_INT64, TYPE_UINT32, TYPE_INT32 and TYPE_STRING");
  }
}

// Of one sequence's state, at its start: a wrong configuration is not to take all the memory there is.
constexpr int64_t kMostStateElements = int64_t{1} << 28;

template <class Dims>
absl::Status check_state_dims(const std::string& which, const Dims& dims) {
  int64_t count = 1;
  for (const int64_t dim : dims) {
    if (dim < 1 && dim != -1) return invalid(which, " must have dims >= 1, or -1 for any, got ", dim);
    const int64_t size = std::max<int64_t>(dim, 1);
    if (size > kMostStateElements / count) {
      return invalid(which, " must have at most ", kMostStateElements, " elements");
    }
    count *= size;
  }
  return absl::OkStatus();
}

absl::Status check_initial_dims(const inference::ModelSequenceBatching::State& state,
                                const inference::ModelSequenceBatching::InitialState& initial) {
  const std::string which = concat("'initial_state' of state '", state.input_name(), "'");
  if (absl::Status status = check_state_dims(which, initial.dims()); !status.ok()) return status;
  const auto fits = [](int64_t start, int64_t dim) { return start == dim || dim == -1; };
  if (initial.dims().empty() || std::ranges::equal(initial.dims(), state.dims(), fits)) {
    return absl::OkStatus();
  }
  return invalid(which, " has dims that the state's dims do not allow");
}

absl::Status check_state(const inference::ModelSequenceBatching::State& state) {
  if (state.data_type() == inference::TYPE_INVALID) {
    return invalid("state '", state.input_name(), "' must specify 'data_type'");
  }
  const std::string which = concat("state '", state.input_name(), "'");
  if (absl::Status status = check_state_dims(which, state.dims()); !status.ok()) return status;
  for (const auto& initial : state.initial_state()) {
    if (initial.data_type() != state.data_type()) {
      return invalid("The data type used for 'initial_state' field of state '", state.input_name(),
                     "' does not match the state data type.");
    }
    if (initial.name().empty()) {
      return invalid("Field 'name' must be set when using initial_state for state input '",
                     state.input_name(), "'.");
    }
    if (absl::Status status = check_initial_dims(state, initial); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status check_strategy(const ModelConfig& config) {
  const auto& batching = config.sequence_batching();
  if (batching.has_oldest()) {
    return check_preferred(config, "sequence batching preferred batch size",
                           batching.oldest().preferred_batch_size());
  }
  const float utilization = batching.direct().minimum_slot_utilization();
  if (utilization >= 0 && utilization <= 1) return absl::OkStatus();
  return invalid("sequence batching minimum slot utilization must be in range (0.0, 1.0] for ",
                 config.name());
}

}  // namespace

absl::Status check_sequence(const ModelConfig& config) {
  if (absl::Status status = check_strategy(config); !status.ok()) return status;
  std::set<int> kinds;
  for (const auto& input : config.sequence_batching().control_input()) {
    if (input.name().empty()) {
      return invalid("sequence batching control tensor must have a name for ", config.name());
    }
    for (const Control& control : input.control()) {
      if (!kinds.insert(control.kind()).second) {
        return invalid("sequence batching specifies multiple ", Control::Kind_Name(control.kind()),
                       " tensors for ", config.name());
      }
      if (absl::Status status = check_control(config, control); !status.ok()) return status;
    }
  }
  for (const auto& state : config.sequence_batching().state()) {
    if (absl::Status status = check_state(state); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace zeta::serving
