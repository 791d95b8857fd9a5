#include "apps/zeta-server/kserve/infer_json.h"

#include <optional>
#include <utility>

#include "apps/zeta-server/json.h"
#include "apps/zeta-server/kserve/json_fields.h"
#include "apps/zeta-server/kserve/tensor_json.h"
#include "src/base/concat.h"
#include "src/serving/data_type.h"
#include "src/serving/shared_memory_input.h"
#include "src/serving/tensor.h"

namespace zeta::server::kserve {
namespace {

template <class... Parts>
absl::Status invalid(const Parts&... parts) {
  return absl::InvalidArgumentError(concat(parts...));
}

constexpr std::string_view kBinarySize = "binary_data_size";
constexpr std::string_view kRegion = "shared_memory_region";

absl::StatusOr<std::vector<int64_t>> read_shape(const json::object& input) {
  const auto* value = input.if_contains("shape");
  const auto* dimensions = value == nullptr ? nullptr : value->if_array();
  if (dimensions == nullptr) return invalid("Unable to parse 'shape': expected an array of integers");
  std::vector<int64_t> shape;
  for (const auto& dimension : *dimensions) {
    if (!dimension.is_int64()) return invalid("Unable to parse 'shape': expected an array of integers");
    shape.push_back(dimension.get_int64());
  }
  return shape;
}

absl::StatusOr<serving::SharedMemoryRange> find_range(const RequestSource& source,
                                                      const json::object& parameters,
                                                      serving::OutputTarget& target) {
  auto region = read_string(parameters, kRegion);
  if (!region.ok()) return region.status();
  const auto given = read_size(parameters, "shared_memory_byte_size");
  if (!given.ok()) return given.status();
  const std::optional<uint64_t> size = *given;
  const auto offset = read_size(parameters, "shared_memory_offset");
  if (!offset.ok()) return offset.status();
  if (!size) return invalid("Invalid offset + byte size for shared memory region: '", *region, "'");
  target.region = *std::move(region);
  target.offset = offset->value_or(0);
  return source.shared_memory.find(target.region, target.offset, *size);
}

// Reads inputs, taking those that stand behind the JSON in turn.
class InputReader {
 public:
  explicit InputReader(const RequestSource& source) : source_(source), next_(source.json_size) {}

  absl::StatusOr<serving::Tensor> read(const json::value& value) {
    const auto* input = value.if_object();
    if (input == nullptr) return invalid("Unable to parse 'inputs': expected an array of objects");
    auto name = read_string(*input, "name");
    if (!name.ok()) return name.status();
    const auto type_name = read_string(*input, "datatype");
    if (!type_name.ok()) return type_name.status();
    const auto type = serving::parse_data_type(*type_name);
    if (!type) return invalid("input '", *name, "' has unknown datatype '", *type_name, "'");
    auto shape = read_shape(*input);
    if (!shape.ok()) return shape.status();
    auto buffer = read_data(*input, {*name, *type, *shape});
    if (!buffer.ok()) return buffer.status();
    return serving::Tensor{*std::move(name), *type, *std::move(shape), *std::move(buffer)};
  }

  absl::Status check_all_used() const {
    if (next_ == source_.body->size()) return absl::OkStatus();
    return invalid("unexpected additional input data for model '", source_.model, "'");
  }

 private:
  absl::StatusOr<serving::Buffer> read_data(const json::object& input,
                                            const serving::TensorMetadata& tensor) {
    const auto* data = input.if_contains("data");
    const auto parameters = read_object(input, "parameters");
    if (!parameters.ok()) return parameters.status();
    const bool binary = (*parameters)->contains(kBinarySize), shared = (*parameters)->contains(kRegion);
    for (const auto& parameter : **parameters) {
      const std::string_view key = parameter.key();
      if (key == kBinarySize || key.starts_with("shared_memory_")) continue;
      return invalid("input '", tensor.name, "': parameter '", key, "' is not supported");
    }
    if ((data != nullptr) + binary + shared != 1) {
      std::string set = concat(data == nullptr ? "" : " 'data'", binary ? " 'binary_data_size'" : "",
                               shared ? " 'shared_memory_region'" : "");
      return invalid(
          "Input must set only one of the following fields: 'data', 'binary_data_size' in 'parameters', "
          "'shared_memory_region' in 'parameters'. But ",
          set.empty() ? "no field is set" : concat("set", set));
    }
    if (data != nullptr) return read_tensor_data(tensor, *data);
    if (binary) return take_binary(**parameters, tensor);
    serving::OutputTarget place;
    const auto range = find_range(source_, **parameters, place);
    if (!range.ok()) return range.status();
    return serving::read_input(*range, tensor, source_.model);
  }

  absl::StatusOr<serving::Buffer> take_binary(const json::object& parameters,
                                              const serving::TensorMetadata& tensor) {
    const auto given = read_size(parameters, kBinarySize);
    if (!given.ok()) return given.status();
    const size_t size = given->value_or(0), left = source_.body->size() - next_;
    if (size > left) {
      return invalid("unexpected size for input '", tensor.name, "', expecting ", size - left,
                     " additional bytes for model '", source_.model, "'");
    }
    const auto* data = reinterpret_cast<const std::byte*>(source_.body->data() + next_);
    next_ += size;
    return serving::aligned({data, size, source_.body}, tensor.datatype);
  }

  const RequestSource& source_;
  size_t next_;  // where in the body the next binary input begins
};

absl::StatusOr<serving::RequestedOutput> read_output(const RequestSource& source, const json::value& value) {
  if (!value.is_object()) return invalid("Unable to parse 'outputs': expected an array of objects");
  auto name = read_string(value.get_object(), "name");
  if (!name.ok()) return name.status();
  serving::RequestedOutput output{*std::move(name), 0, {}, {}};
  const auto parameters = read_object(value.get_object(), "parameters");
  if (!parameters.ok()) return parameters.status();
  for (const auto& [key, parameter] : **parameters) {
    if (key == "binary_data") {
      if (!parameter.is_bool()) return invalid("Unable to parse 'binary_data': expected a boolean");
      output.binary = parameter.get_bool();
    } else if (key == "classification") {
      const auto count = read_size(**parameters, key);
      if (!count.ok()) return count.status();
      if (**count == 0 || **count > INT32_MAX) {
        return invalid("'classification' parameter must be > 0 and at most 2147483647, got ", **count);
      }
      output.classification = static_cast<int64_t>(**count);
    } else if (!std::string_view(key).starts_with("shared_memory_")) {
      return invalid("output '", output.name, "': parameter '", std::string_view(key), "' is not supported");
    }
  }
  if (!(*parameters)->contains(kRegion)) return output;
  if (output.classification != 0) {
    return invalid("'classification' is not compatible with 'shared_memory_region' for output '", output.name,
                   "'");
  }
  serving::OutputTarget target;
  auto range = find_range(source, **parameters, target);
  if (!range.ok()) return range.status();
  target.range = *std::move(range);
  output.target = std::move(target);
  return output;
}

absl::Status read_inputs(const RequestSource& source, const json::object& body, ReadRequest& read) {
  const auto* value = body.if_contains("inputs");
  const auto* inputs = value == nullptr ? nullptr : value->if_array();
  if (inputs == nullptr) return invalid("Unable to parse 'inputs': expected an array");
  InputReader reader(source);
  for (const auto& input : *inputs) {
    auto tensor = reader.read(input);
    if (!tensor.ok()) return tensor.status();
    read.request->inputs.push_back(*std::move(tensor));
  }
  return reader.check_all_used();
}

absl::Status read_outputs(const RequestSource& source, const json::object& body, ReadRequest& read) {
  const auto* value = body.if_contains("outputs");
  if (value == nullptr) return absl::OkStatus();
  const auto* outputs = value->if_array();
  if (outputs == nullptr) return invalid("Unable to parse 'outputs': expected an array");
  for (const auto& output : *outputs) {
    auto requested = read_output(source, output);
    if (!requested.ok()) return requested.status();
    read.request->requested_outputs.push_back(requested->name);
    read.outputs.push_back(*std::move(requested));
  }
  return absl::OkStatus();
}

absl::Status read_optional_fields(const json::object& body, ReadRequest& read) {
  if (body.contains("id")) {
    auto id = read_string(body, "id");
    if (!id.ok()) return id.status();
    read.request->id = *std::move(id);
  }
  const auto* value = body.if_contains("parameters");
  if (value == nullptr) return absl::OkStatus();
  auto parameters = read_parameters(*value);
  if (!parameters.ok()) return parameters.status();
  if (const auto binary = parameters->find("binary_data_output"); binary != parameters->end()) {
    const auto* wanted = std::get_if<bool>(&binary->second);
    if (wanted == nullptr) return invalid("Unable to parse 'binary_data_output': expected a boolean");
    read.binary_output = *wanted;
    parameters->erase(binary);
  }
  read.request->parameters = *std::move(parameters);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ReadRequest> read_infer_request(const RequestSource& source) {
  const auto parsed = parse_json(std::string_view(*source.body).substr(0, source.json_size));
  if (!parsed.ok()) return parsed.status();
  const auto* object = parsed->if_object();
  if (object == nullptr) return invalid("failed to parse the request JSON buffer: expected an object");
  ReadRequest read;
  read.request = std::make_shared<serving::InferRequest>();
  if (absl::Status status = read_inputs(source, *object, read); !status.ok()) return status;
  if (absl::Status status = read_optional_fields(*object, read); !status.ok()) return status;
  if (absl::Status status = read_outputs(source, *object, read); !status.ok()) return status;
  return read;
}

}  // namespace zeta::server::kserve
