#include "src/serving/model_config/complete.h"

#include <algorithm>
#include <utility>

#include "src/base/concat.h"
#include "src/serving/data_type.h"
#include "src/serving/model_config/gpus.h"
#include "src/serving/model_config/known_backends.h"
#include "src/serving/model_config/tensor_types.h"
#include "src/serving/tensor.h"

namespace zeta::serving {
namespace {

using inference::ModelConfig;
using Group = inference::ModelInstanceGroup;

template <class... Parts>
absl::Status invalid(const Parts&... parts) {
  return absl::InvalidArgumentError(concat(parts...));
}

void normalise_platform(ModelConfig& config) {
  const KnownBackend* known = find_platform(config.platform());
  if (known != nullptr && config.backend().empty()) config.set_backend(std::string(known->backend));
  if (known == nullptr) known = find_backend(config.backend());
  if (known == nullptr) return;
  if (config.platform().empty()) config.set_platform(std::string(known->platform));
  if (config.default_model_filename().empty()) config.set_default_model_filename(std::string(known->file));
}

void normalise_instance_groups(ModelConfig& config) {
  const KnownBackend* known = find_backend(config.backend());
  const int gpus = known != nullptr && known->on_gpu ? gpu_count() : 0;
  if (config.instance_group().empty() && !config.has_ensemble_scheduling()) {
    config.add_instance_group()->set_name(config.name());
  }
  int index = 0;
  for (Group& group : *config.mutable_instance_group()) {
    if (group.name().empty()) group.set_name(concat(config.name(), "_", index));
    ++index;
    if (group.count() < 1) group.set_count(1);
    if (group.kind() == Group::KIND_AUTO) {
      group.set_kind(gpus > 0 || group.gpus_size() > 0 ? Group::KIND_GPU : Group::KIND_CPU);
    }
    if (group.kind() != Group::KIND_GPU || group.gpus_size() > 0) continue;
    for (int gpu = 0; gpu < gpus; ++gpu) group.add_gpus(gpu);
  }
}

void normalise_batching(ModelConfig& config) {
  const int most = std::max(config.max_batch_size(), 1);
  if (config.has_dynamic_batching() && config.dynamic_batching().preferred_batch_size().empty() &&
      config.max_batch_size() > 0) {
    config.mutable_dynamic_batching()->add_preferred_batch_size(most);
  }
  if (!config.has_sequence_batching()) return;
  constexpr uint64_t kIdle = 1'000'000;
  auto& batching = *config.mutable_sequence_batching();
  if (batching.max_sequence_idle_microseconds() == 0) batching.set_max_sequence_idle_microseconds(kIdle);
  if (batching.has_oldest() && batching.oldest().preferred_batch_size().empty() &&
      config.max_batch_size() > 0) {
    batching.mutable_oldest()->add_preferred_batch_size(most);
  }
}

std::vector<int64_t> with_batch(const ModelConfig& config,
                                const google::protobuf::RepeatedField<int64_t>& dims) {
  std::vector<int64_t> shape(dims.begin(), dims.end());
  if (config.max_batch_size() > 0) shape.insert(shape.begin(), -1);
  return shape;
}

template <class Proto>
TensorMetadata as_client_sees(const ModelConfig& config, const Proto& tensor) {
  return {tensor.name(), to_data_type(tensor.data_type()), with_batch(config, tensor.dims())};
}

template <class Proto>
TensorMetadata as_model_sees(const ModelConfig& config, const Proto& tensor) {
  TensorMetadata seen = as_client_sees(config, tensor);
  if (tensor.has_reshape()) seen.shape = with_batch(config, tensor.reshape().shape());
  return seen;
}

DataType type_of(const inference::ModelSequenceBatching::Control& control) {
  if (control.int32_false_true_size() > 0) return DataType::kInt32;
  if (control.fp32_false_true_size() > 0) return DataType::kFp32;
  if (control.bool_false_true_size() > 0) return DataType::kBool;
  return to_data_type(control.data_type());
}

// What the server makes and clients do not see.
void add_scheduler_inputs(const ModelConfig& config, std::vector<TensorMetadata>& tensors) {
  std::vector<int64_t> one{1};
  if (config.max_batch_size() > 0) one = {-1, 1};
  for (const auto& input : config.sequence_batching().control_input()) {
    for (const auto& control : input.control()) tensors.push_back({input.name(), type_of(control), one});
  }
  for (const auto& state : config.sequence_batching().state()) {
    tensors.push_back(
        {state.input_name(), to_data_type(state.data_type()), with_batch(config, state.dims())});
  }
  for (const auto& input : config.batch_input()) {
    for (const std::string& target : input.target_name()) {
      std::vector<int64_t> shape{-1};
      if (input.kind() == inference::BatchInput::BATCH_ITEM_SHAPE) shape = {-1, -1};
      tensors.push_back({target, to_data_type(input.data_type()), std::move(shape)});
    }
  }
}

// "FP32[-1,2]"
std::string signature(const TensorMetadata& tensor) {
  return concat(data_type_name(tensor.datatype), shape_text(tensor.shape));
}

bool can_be(const std::vector<int64_t>& a, const std::vector<int64_t>& b) {
  return std::ranges::equal(a, b, [](int64_t x, int64_t y) { return x == y || x < 0 || y < 0; });
}

// `kind`: "input" or "output".
template <class Protos>
absl::Status fill(const ModelConfig& config, const char* kind, const std::vector<TensorMetadata>& known,
                  Protos& protos) {
  for (const TensorMetadata& tensor : known) {
    auto dims = tensor.shape;
    if (config.max_batch_size() > 0) {
      if (dims.empty() || dims.front() > 0) {
        return invalid("model '", config.name(), "' has max_batch_size ", config.max_batch_size(),
                       ", but its ", kind, " '", tensor.name, "' of shape ", shape_text(tensor.shape),
                       " has no batch dimension: expected a first dimension of any size");
      }
      dims.erase(dims.begin());
    }
    auto& proto = *protos.Add();
    proto.set_name(tensor.name);
    proto.set_data_type(to_proto(tensor.datatype));
    for (const int64_t dim : dims) proto.add_dims(dim);
    if constexpr (requires { proto.set_optional(true); }) proto.set_optional(tensor.optional);
  }
  return absl::OkStatus();
}

template <class Protos>
absl::Status compare(const ModelConfig& config, const char* kind, const std::vector<TensorMetadata>& known,
                     const Protos& protos) {
  for (const auto& proto : protos) {
    const auto found = std::ranges::find(known, proto.name(), &TensorMetadata::name);
    const std::string which = concat("model '", config.name(), "', tensor '", proto.name(), "': ");
    if (found == known.end()) {
      std::string names;
      for (const auto& tensor : known) names += concat(names.empty() ? "'" : ", '", tensor.name, "'");
      return invalid(which, "the configuration names this ", kind, ", the model has ",
                     names.empty() ? "none" : names);
    }
    const TensorMetadata expected = as_client_sees(config, proto);
    if (expected.datatype == found->datatype && can_be(expected.shape, found->shape)) continue;
    return invalid(which, "the configuration expects ", signature(expected), ", the model provides ",
                   signature(*found));
  }
  return absl::OkStatus();
}

absl::Status require_inputs(const ModelConfig& config, const ModelMetadata& model) {
  for (const TensorMetadata& input : model.inputs) {
    const bool named =
        std::ranges::any_of(config.input(), [&](const auto& p) { return p.name() == input.name; });
    if (named || input.optional) continue;
    return invalid("model '", config.name(), "': the configuration lacks the model's input '", input.name,
                   "' of ", signature(input));
  }
  return absl::OkStatus();
}

}  // namespace

void normalise_model_config(ModelConfig& config) {
  normalise_platform(config);
  if (config.version_policy().policy_choice_case() == inference::ModelVersionPolicy::POLICY_CHOICE_NOT_SET) {
    config.mutable_version_policy()->mutable_latest()->set_num_versions(1);
  }
  if (!config.has_ensemble_scheduling()) {
    auto& optimization = *config.mutable_optimization();
    if (!optimization.has_input_pinned_memory()) optimization.mutable_input_pinned_memory()->set_enable(true);
    if (!optimization.has_output_pinned_memory())
      optimization.mutable_output_pinned_memory()->set_enable(true);
  }
  normalise_instance_groups(config);
  normalise_batching(config);
}

absl::Status complete_model_config(const ModelMetadata& model, ModelConfig& config) {
  absl::Status status = config.input().empty() ? fill(config, "input", model.inputs, *config.mutable_input())
                        : model.inputs.empty() ? absl::OkStatus()
                                               : compare(config, "input", model.inputs, config.input());
  if (!status.ok()) return status;
  status = config.output().empty() ? fill(config, "output", model.outputs, *config.mutable_output())
           : model.outputs.empty() ? absl::OkStatus()
                                   : compare(config, "output", model.outputs, config.output());
  if (!status.ok()) return status;
  if (model.decoupled) config.mutable_model_transaction_policy()->set_decoupled(true);
  return require_inputs(config, model);
}

ModelMetadata client_metadata(const ModelConfig& config, const std::string& version) {
  ModelMetadata metadata;
  metadata.name = config.name();
  metadata.version = version;
  metadata.platform = config.platform().empty() ? config.backend() : config.platform();
  metadata.max_batch_size = config.max_batch_size();
  metadata.decoupled = config.model_transaction_policy().decoupled();
  metadata.metric_tags = {config.metric_tags().begin(), config.metric_tags().end()};
  for (const auto& input : config.input()) {
    metadata.inputs.push_back(as_client_sees(config, input));
    metadata.inputs.back().optional = input.optional();
  }
  for (const auto& output : config.output()) metadata.outputs.push_back(as_client_sees(config, output));
  return metadata;
}

std::vector<TensorMetadata> model_inputs(const ModelConfig& config) {
  std::vector<TensorMetadata> tensors;
  for (const auto& input : config.input()) {
    tensors.push_back(as_model_sees(config, input));
    tensors.back().optional = input.optional();
    if (input.allow_ragged_batch()) tensors.back().shape = {-1};  // requests are joined flat
  }
  if (tensors.empty()) return tensors;
  add_scheduler_inputs(config, tensors);
  return tensors;
}

std::vector<TensorMetadata> model_outputs(const ModelConfig& config) {
  std::vector<TensorMetadata> tensors;
  for (const auto& output : config.output()) tensors.push_back(as_model_sees(config, output));
  if (tensors.empty()) return tensors;
  for (const auto& state : config.sequence_batching().state()) {
    tensors.push_back(
        {state.output_name(), to_data_type(state.data_type()), with_batch(config, state.dims())});
  }
  return tensors;
}

}  // namespace zeta::serving
