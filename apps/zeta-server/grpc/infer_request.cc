#include "apps/zeta-server/grpc/infer_request.h"

#include <google/protobuf/arena.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "apps/zeta-server/grpc/message_split.h"
#include "apps/zeta-server/grpc/typed_contents.h"
#include "src/base/concat.h"
#include "src/serving/data_type.h"
#include "src/serving/shared_memory_input.h"
#include "src/serving/tensor.h"

namespace zeta::server::grpc_api {
namespace {

using Input = inference::ModelInferRequest::InferInputTensor;
using Output = inference::ModelInferRequest::InferRequestedOutputTensor;
using ParameterMap = google::protobuf::Map<std::string, inference::InferParameter>;

template <class... Parts>
absl::Status invalid(const Parts&... parts) {
  return absl::InvalidArgumentError(concat(parts...));
}

constexpr std::string_view kEmptyFinal = "triton_enable_empty_final_response";

// The types that Triton takes for the parameters that it knows; "" for all others.
std::string_view wrong_type(std::string_view name, const inference::InferParameter& value) {
  const bool is_int = value.has_int64_param(), is_text = value.has_string_param();
  if (name == "sequence_id" && !is_int && !is_text) return "int64_param or string_param.";
  if ((name == "sequence_start" || name == "sequence_end") && !value.has_bool_param()) return "bool_param.";
  if (name == "priority" && !is_int && !value.has_uint64_param()) return "int64_param or uint64_param.";
  if (name == "timeout" && !is_int) return "int64_param.";
  return "";
}

std::optional<serving::Parameter> to_parameter(const inference::InferParameter& value) {
  switch (value.parameter_choice_case()) {
    case inference::InferParameter::kBoolParam:
      return value.bool_param();
    case inference::InferParameter::kInt64Param:
      return value.int64_param();
    case inference::InferParameter::kUint64Param:
      if (value.uint64_param() > INT64_MAX) return std::nullopt;
      return static_cast<int64_t>(value.uint64_param());
    case inference::InferParameter::kDoubleParam:
      return value.double_param();
    case inference::InferParameter::kStringParam:
      return value.string_param();
    default:
      return std::nullopt;
  }
}

absl::Status read_parameters(const ParameterMap& parameters, ReceivedRequest& received) {
  for (const auto& [name, value] : parameters) {
    if (name == kEmptyFinal) {
      if (!value.has_bool_param()) {
        return invalid("invalid value type for '", name, "' parameter, expected bool_param.");
      }
      received.empty_final_response = value.bool_param();
      continue;
    }
    if (name.starts_with("triton_")) {
      return invalid(
          "parameter keys starting with 'triton_' are reserved for Triton usage. Only the following keys "
          "starting with 'triton_' are allowed: ",
          kEmptyFinal);
    }
    const std::string_view expected = wrong_type(name, value);
    if (!expected.empty()) {
      return invalid("invalid value type for '", name, "' parameter, expected ", expected);
    }
    auto parameter = to_parameter(value);
    if (!parameter) {
      return invalid("invalid value type for '", name,
                     "' parameter, expected int64_param, bool_param, or string_param.");
    }
    received.request->parameters.emplace(name, *std::move(parameter));
  }
  return absl::OkStatus();
}

// What a tensor's parameters say of shared memory; region "" when nothing.
struct SharedMemoryPlace {
  std::string region;
  uint64_t offset = 0, size = 0;
};

absl::StatusOr<SharedMemoryPlace> read_place(const std::string& tensor, const ParameterMap& parameters) {
  SharedMemoryPlace place;
  const auto region = parameters.find("shared_memory_region");
  if (region == parameters.end()) return place;
  const auto wrong = [&](std::string_view name, std::string_view expected) {
    return invalid("invalid value type for '", name, "' parameter for tensor '", tensor, "', expected ",
                   expected, ".");
  };
  if (!region->second.has_string_param()) return wrong("shared_memory_region", "string_param");
  place.region = region->second.string_param();
  const auto read = [&](const char* name, uint64_t& out) -> absl::Status {
    const auto found = parameters.find(name);
    if (found == parameters.end()) return absl::OkStatus();
    if (!found->second.has_int64_param()) return wrong(name, "int64_param");
    if (found->second.int64_param() < 0) {
      return invalid("invalid value for '", name, "' parameter for tensor '", tensor,
                     "', expected >= 0, got ", found->second.int64_param());
    }
    out = static_cast<uint64_t>(found->second.int64_param());
    return absl::OkStatus();
  };
  if (absl::Status status = read("shared_memory_offset", place.offset); !status.ok()) return status;
  if (absl::Status status = read("shared_memory_byte_size", place.size); !status.ok()) return status;
  if (place.size == 0) {
    return invalid("'shared_memory_byte_size' must be specified along with 'shared_memory_region' parameter ",
                   "for tensor '", tensor, "'");
  }
  return place;
}

// Reads inputs, taking raw contents from `raw` in turn.
class InputReader {
 public:
  InputReader(const std::string& model, std::vector<serving::Buffer> raw,
              const serving::SharedMemoryRegistry& shared_memory)
      : model_(model), raw_(std::move(raw)), shared_memory_(shared_memory) {}

  absl::StatusOr<serving::Tensor> read(const Input& input) {
    const auto type = serving::parse_data_type(input.datatype());
    if (!type) {
      return invalid("input '", input.name(), "' for model '", model_, "' has unknown data-type '",
                     input.datatype(), "'");
    }
    serving::Tensor tensor{input.name(), *type, {input.shape().begin(), input.shape().end()}, {}};
    auto data = read_data(input, *type);
    if (!data.ok()) return data.status();
    tensor.data = serving::aligned(*std::move(data), *type);
    return tensor;
  }

  absl::Status check_all_used() const {
    if (next_ == raw_.size()) return absl::OkStatus();
    return invalid("expected ", next_, " raw_input_contents for model '", model_, "', got ", raw_.size());
  }

 private:
  absl::StatusOr<serving::Buffer> read_data(const Input& input, serving::DataType type) {
    const auto place = read_place(input.name(), input.parameters());
    if (!place.ok()) return place.status();
    if (!place->region.empty()) {
      if (input.has_contents()) {
        return invalid("unexpected 'content' provided when using shared memory for input tensor '",
                       input.name(), "' for model '", model_, "'");
      }
      const auto range = shared_memory_.find(place->region, place->offset, place->size);
      if (!range.ok()) return range.status();
      return serving::read_input(*range, {input.name(), type, {input.shape().begin(), input.shape().end()}},
                                 model_);
    }
    if (!raw_.empty()) {
      if (input.has_contents()) {
        return invalid("contents field must not be specified when using raw_input_contents for '",
                       input.name(), "' for model '", model_, "'");
      }
      if (next_ < raw_.size()) return std::move(raw_[next_++]);
    } else if (input.has_contents()) {
      return read_contents(input.name(), model_, type, input.contents());
    } else if (std::ranges::find(input.shape(), 0) != input.shape().end()) {
      return serving::Buffer{};
    }
    return invalid("unable to find data for input tensor '", input.name(), "' for model '", model_,
                   "' in request.");
  }

  const std::string& model_;
  std::vector<serving::Buffer> raw_;
  const serving::SharedMemoryRegistry& shared_memory_;
  size_t next_ = 0;
};

absl::StatusOr<serving::RequestedOutput> read_output(const Output& output,
                                                     const serving::SharedMemoryRegistry& shared_memory) {
  serving::RequestedOutput requested{output.name(), 0, {}, {}};
  const auto classification = output.parameters().find("classification");
  if (classification != output.parameters().end()) {
    if (!classification->second.has_int64_param()) {
      return invalid("invalid value type for 'classification' parameter, expected int64_param");
    }
    requested.classification = classification->second.int64_param();
    if (requested.classification <= 0) {
      return invalid("invalid value for 'classification' parameter, expected >= 0");
    }
  }
  auto place = read_place(output.name(), output.parameters());
  if (!place.ok()) return place.status();
  if (place->region.empty()) return requested;
  if (requested.classification != 0) {
    return invalid("output can't set both 'shared_memory_region' and 'classification'");
  }
  auto range = shared_memory.find(place->region, place->offset, place->size);
  if (!range.ok()) return range.status();
  requested.target = {std::move(place->region), place->offset, *std::move(range)};
  return requested;
}

absl::Status convert(const inference::ModelInferRequest& message, std::vector<serving::Buffer> raw,
                     const serving::SharedMemoryRegistry& shared_memory, ReceivedRequest& received) {
  if (absl::Status status = read_parameters(message.parameters(), received); !status.ok()) return status;
  InputReader inputs(received.model_name, std::move(raw), shared_memory);
  received.request->inputs.reserve(static_cast<size_t>(message.inputs_size()));
  for (const Input& input : message.inputs()) {
    auto tensor = inputs.read(input);
    if (!tensor.ok()) return tensor.status();
    received.request->inputs.push_back(*std::move(tensor));
  }
  if (absl::Status status = inputs.check_all_used(); !status.ok()) return status;
  for (const Output& output : message.outputs()) {
    auto requested = read_output(output, shared_memory);
    if (!requested.ok()) return requested.status();
    received.request->requested_outputs.push_back(requested->name);
    received.outputs.push_back(*std::move(requested));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status read_infer_request(std::span<const serving::Buffer> pieces,
                                const serving::SharedMemoryRegistry& shared_memory,
                                ReceivedRequest& received) {
  received.request = std::make_shared<serving::InferRequest>();
  auto split = split_message(pieces, inference::ModelInferRequest::kRawInputContentsFieldNumber);
  if (!split.ok()) return split.status();
  alignas(8) char block[4096];  // a small request needs no more
  google::protobuf::ArenaOptions options;
  options.initial_block = block;
  options.initial_block_size = sizeof block;
  google::protobuf::Arena arena(options);
  auto* message = google::protobuf::Arena::CreateMessage<inference::ModelInferRequest>(&arena);
  if (!message->ParseFromString(split->head)) return invalid("the request is not a valid protobuf message");
  received.model_name = message->model_name();
  received.model_version = message->model_version();
  received.request->id = message->id();
  return convert(*message, std::move(split->raw), shared_memory, received);
}

}  // namespace zeta::server::grpc_api
