#include "src/serving/scheduling/batch_assembly.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <utility>

#include "src/base/concat.h"
#include "src/serving/scheduling/batch_input_rules.h"
#include "src/serving/tensor.h"

namespace zeta::serving {
namespace {

int64_t product(std::span<const int64_t> shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

std::string to_text(const Parameter& parameter) {
  if (const auto* text = std::get_if<std::string>(&parameter)) return concat("s", text->size(), ":", *text);
  if (const auto* number = std::get_if<int64_t>(&parameter)) return concat("i", *number);
  if (const auto* flag = std::get_if<bool>(&parameter)) return *flag ? "b1" : "b0";
  return concat("d", std::to_string(std::get<double>(parameter)));
}

// Byte offsets at which each of `shares` elements begins, and the end. Nothing when the buffer is damaged.
std::vector<size_t> offsets_of(const Tensor& tensor, const std::vector<int64_t>& shares) {
  std::vector<size_t> offsets{0};
  if (tensor.datatype != DataType::kBytes) {
    const int64_t elements = std::max<int64_t>(product(tensor.shape), 1);
    const size_t element = tensor.data.size / static_cast<size_t>(elements);
    for (const int64_t share : shares) {
      offsets.push_back(offsets.back() + static_cast<size_t>(share) * element);
    }
    return offsets;
  }
  const auto elements = bytes_elements(tensor);
  if (!elements.ok()) return {};
  size_t next = 0, offset = 0;
  for (const int64_t share : shares) {
    for (int64_t i = 0; i < share; ++i) offset += sizeof(uint32_t) + (*elements)[next++].size();
    offsets.push_back(offset);
  }
  return offsets;
}

bool wants(const InferRequest& request, const std::string& output) {
  const auto& wanted = request.requested_outputs;
  return wanted.empty() || std::ranges::find(wanted, output) != wanted.end();
}

std::vector<std::string> wanted_outputs(std::span<const PendingRequest> requests) {
  std::vector<std::string> names;
  for (const PendingRequest& pending : requests) {
    if (pending.request->requested_outputs.empty()) return {};
    for (const std::string& name : pending.request->requested_outputs) {
      if (std::ranges::find(names, name) == names.end()) names.push_back(name);
    }
  }
  return names;
}

}  // namespace

bool is_scheduling_parameter(const std::string& name) {
  return name == "priority" || name == "timeout" || name.starts_with("sequence_") ||
         name.starts_with("triton_") || name.starts_with("binary_data");
}

BatchAssembly::BatchAssembly(const SchedulingPolicy& policy, ModelMetadata model)
    : policy_(policy), model_(std::move(model)), client_(model_) {
  describe_clients_view();
}

void BatchAssembly::describe_clients_view() {
  std::set<std::string> made, kept;
  for (const BatchInputRule& rule : policy_.batch_inputs) made.insert(rule.target);
  if (policy_.sequence_batching) {
    for (const auto& control : policy_.sequence_batching->controls) made.insert(control.name);
    for (const auto& state : policy_.sequence_batching->states) {
      made.insert(state.input_name);
      kept.insert(state.output_name);
    }
  }
  std::erase_if(client_.inputs, [&](const TensorMetadata& input) { return made.contains(input.name); });
  std::erase_if(client_.outputs, [&](const TensorMetadata& output) { return kept.contains(output.name); });
  for (auto* tensors : {&client_.inputs, &client_.outputs}) {
    for (TensorMetadata& tensor : *tensors) {
      const auto dims = policy_.client_dims.find(tensor.name);
      if (dims == policy_.client_dims.end()) continue;
      tensor.shape = dims->second;
      if (policy_.max_batch_size > 0) tensor.shape.insert(tensor.shape.begin(), -1);
    }
  }
}

std::string BatchAssembly::compatibility(const InferRequest& request) const {
  std::string text;
  for (const TensorMetadata& expected : client_.inputs) {
    const Tensor* given = find_tensor(request.inputs, expected.name);
    if (given == nullptr) {
      text += "-;";
      continue;
    }
    if (policy_.ragged_inputs.contains(expected.name)) {
      text += "r;";
      continue;
    }
    for (size_t i = 1; i < expected.shape.size() && i < given->shape.size(); ++i) {
      if (expected.shape[i] < 0) text += concat(given->shape[i], ",");
    }
    text += ';';
  }
  for (const auto& [name, value] : request.parameters) {
    if (!is_scheduling_parameter(name)) text += concat(name.size(), ":", name, "=", to_text(value), ";");
  }
  return text;
}

// Dimensions that `reshape` leaves variable take the variable ones of the client in order.
std::vector<int64_t> BatchAssembly::model_shape(const TensorMetadata& model,
                                                const std::vector<int64_t>& given) const {
  const auto client = policy_.client_dims.find(model.name);
  if (client == policy_.client_dims.end()) return given;
  std::vector<int64_t> shape = model.shape;
  const size_t first = policy_.max_batch_size > 0 ? 1 : 0;
  if (first == 1 && !shape.empty()) shape[0] = given.front();
  size_t next = 0;
  for (size_t i = first; i < shape.size(); ++i) {
    if (shape[i] >= 0) continue;
    while (next < client->second.size() && client->second[next] >= 0) ++next;
    if (next + first < given.size()) shape[i] = given[next++ + first];
  }
  return shape;
}

std::vector<int64_t> BatchAssembly::client_shape(const std::string& output,
                                                 const std::vector<int64_t>& given) const {
  const auto dims = policy_.client_dims.find(output);
  if (dims == policy_.client_dims.end()) return given;
  std::vector<int64_t> shape = dims->second;
  const size_t first = policy_.max_batch_size > 0 ? 1 : 0;
  const auto model = std::ranges::find(model_.outputs, output, &TensorMetadata::name);
  size_t next = first;
  for (int64_t& dimension : shape) {
    if (dimension >= 0 || model == model_.outputs.end()) continue;
    while (next < model->shape.size() && model->shape[next] >= 0) ++next;
    if (next < given.size()) dimension = given[next++];
  }
  if (first == 1) shape.insert(shape.begin(), given.empty() ? 0 : given.front());
  return shape;
}

BatchInput BatchAssembly::join(const TensorMetadata& input, std::span<const PendingRequest> requests) const {
  BatchInput joined{input.name, input.datatype, {}, {}};
  const bool ragged = policy_.ragged_inputs.contains(input.name);
  int64_t size = 0;
  for (const PendingRequest& pending : requests) {
    const Tensor& given = *find_tensor(pending.request->inputs, input.name);
    if (joined.pieces.empty() && !ragged) joined.shape = model_shape(input, given.shape);
    size += ragged ? product(given.shape) : pending.batch_size;
    joined.pieces.push_back(given.data);
  }
  if (ragged) {
    joined.shape = {size};
  } else if (policy_.max_batch_size > 0) {
    joined.shape.front() = size;
  }
  return joined;
}

Batch BatchAssembly::assemble(std::span<const PendingRequest> requests) const {
  Batch batch;
  batch.size = 0;
  for (const PendingRequest& pending : requests) batch.size += pending.batch_size;
  const InferRequest& first = *requests.front().request;
  for (const TensorMetadata& input : model_.inputs) {
    if (find_tensor(first.inputs, input.name) != nullptr) batch.inputs.push_back(join(input, requests));
  }
  for (const BatchInputRule& rule : policy_.batch_inputs) {
    std::vector<std::vector<int64_t>> shapes;
    for (const PendingRequest& pending : requests) {
      const Tensor* source = find_tensor(pending.request->inputs, rule.source);
      if (source != nullptr) shapes.push_back(source->shape);
    }
    batch.inputs.push_back(make_batch_input(rule, shapes));
  }
  batch.outputs = wanted_outputs(requests);
  for (const auto& [name, value] : first.parameters) {
    if (!is_scheduling_parameter(name)) batch.parameters.emplace(name, value);
  }
  return batch;
}

// How many elements each request gets.
absl::StatusOr<std::vector<int64_t>> BatchAssembly::shares_of(const Tensor& output,
                                                              std::span<const PendingRequest> requests,
                                                              const ScatteredOutput* scattered) const {
  std::vector<int64_t> shares;
  int64_t size = 0;
  for (const PendingRequest& pending : requests) {
    const Tensor* source =
        scattered == nullptr ? nullptr : find_tensor(pending.request->inputs, scattered->source);
    shares.push_back(source != nullptr ? product(source->shape) : pending.batch_size);
    size += shares.back();
  }
  const int64_t got = scattered != nullptr   ? product(output.shape)
                      : output.shape.empty() ? -1
                                             : output.shape.front();
  if (got != size) {
    return absl::InternalError(concat("output '", output.name, "' of model '", model_.name, "' has shape ",
                                      shape_text(output.shape), ", expected ", size,
                                      scattered != nullptr ? " elements" : " items in dimension 0"));
  }
  if (scattered != nullptr) return shares;
  const int64_t per_item = product(std::span(output.shape).subspan(1));
  for (int64_t& share : shares) share *= per_item;
  return shares;
}

absl::Status BatchAssembly::share_out(const Tensor& output, std::span<const PendingRequest> requests,
                                      std::vector<InferResponse>& responses) const {
  if (policy_.max_batch_size == 0) {
    if (!wants(*requests.front().request, output.name)) return absl::OkStatus();
    Tensor whole = output;
    whole.shape = client_shape(output.name, output.shape);
    responses.front().outputs.push_back(std::move(whole));
    return absl::OkStatus();
  }
  const auto rule = std::ranges::find(policy_.batch_outputs, output.name, &ScatteredOutput::target);
  const ScatteredOutput* scattered = rule == policy_.batch_outputs.end() ? nullptr : &*rule;
  const auto shares = shares_of(output, requests, scattered);
  if (!shares.ok()) return shares.status();
  const std::vector<size_t> offsets = offsets_of(output, *shares);
  if (offsets.empty()) return absl::InternalError(concat("output '", output.name, "' is damaged"));
  for (size_t i = 0; i < requests.size(); ++i) {
    if (!wants(*requests[i].request, output.name)) continue;
    Tensor share = output;
    share.data.data += offsets[i];
    share.data.size = offsets[i + 1] - offsets[i];
    const Tensor* source =
        scattered == nullptr ? nullptr : find_tensor(requests[i].request->inputs, scattered->source);
    if (source != nullptr) {
      share.shape = source->shape;
    } else if (scattered != nullptr) {
      share.shape = {requests[i].batch_size};
    } else {
      share.shape.front() = requests[i].batch_size;
      share.shape = client_shape(output.name, share.shape);
    }
    responses[i].outputs.push_back(std::move(share));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<InferResponse>> BatchAssembly::share_out(
    const std::vector<Tensor>& outputs, std::span<const PendingRequest> requests) const {
  std::vector<InferResponse> responses(requests.size());
  for (const Tensor& output : outputs) {
    if (absl::Status status = share_out(output, requests, responses); !status.ok()) return status;
  }
  return responses;
}

}  // namespace zeta::serving
