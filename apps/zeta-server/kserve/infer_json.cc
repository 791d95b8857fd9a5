#include "apps/zeta-server/kserve/infer_json.h"

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <boost/json/value_from.hpp>
#include <optional>
#include <utility>

#include "apps/zeta-server/json.h"
#include "apps/zeta-server/kserve/tensor_json.h"
#include "src/base/concat.h"
#include "src/base/json_string.h"
#include "src/serving/data_type.h"

namespace zeta::server::kserve {
namespace {

template <class... Parts>
absl::Status invalid(const Parts&... parts) {
  return absl::InvalidArgumentError(concat(parts...));
}

// Parameters that Triton gives a meaning that this server does not have.
constexpr std::string_view kUnsupported[] = {"binary_data_output", "priority",       "sequence_end",
                                             "sequence_id",        "sequence_start", "timeout"};

absl::StatusOr<std::string> read_string(const json::object& object, std::string_view key) {
  const auto* value = object.if_contains(key);
  if (value == nullptr || !value->is_string())
    return invalid("Unable to parse '", key, "': expected a string");
  return std::string(to_view(value->get_string()));
}

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

absl::StatusOr<serving::Tensor> read_input(const json::value& value) {
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
  if (const auto* parameters = input->if_contains("parameters");
      parameters != nullptr && parameters->is_object() && !parameters->get_object().empty()) {
    return invalid("input '", *name, "': parameter '",
                   std::string_view(parameters->get_object().begin()->key()), "' is not supported");
  }
  const auto* data = input->if_contains("data");
  if (data == nullptr) return invalid("Unable to parse 'data': input '", *name, "' has none");
  auto buffer = read_tensor_data({*name, *type, *shape}, *data);
  if (!buffer.ok()) return buffer.status();
  return serving::Tensor{*std::move(name), *type, *std::move(shape), *std::move(buffer)};
}

absl::Status read_outputs(const json::value& value, serving::InferRequest& request) {
  const auto* outputs = value.if_array();
  if (outputs == nullptr) return invalid("Unable to parse 'outputs': expected an array");
  for (const auto& output : *outputs) {
    if (!output.is_object()) return invalid("Unable to parse 'outputs': expected an array of objects");
    auto name = read_string(output.get_object(), "name");
    if (!name.ok()) return name.status();
    if (const auto* parameters = output.get_object().if_contains("parameters");
        parameters != nullptr && parameters->is_object()) {
      for (const auto& parameter : parameters->get_object()) {
        const bool off = parameter.value().is_bool() && !parameter.value().get_bool();
        if (parameter.key() == "binary_data" && off) continue;
        return invalid("output '", *name, "': parameter '", std::string_view(parameter.key()),
                       "' is not supported");
      }
    }
    request.requested_outputs.push_back(*std::move(name));
  }
  return absl::OkStatus();
}

absl::Status read_inputs(const json::object& body, serving::InferRequest& request) {
  const auto* value = body.if_contains("inputs");
  const auto* inputs = value == nullptr ? nullptr : value->if_array();
  if (inputs == nullptr) return invalid("Unable to parse 'inputs': expected an array");
  for (const auto& input : *inputs) {
    auto tensor = read_input(input);
    if (!tensor.ok()) return tensor.status();
    request.inputs.push_back(*std::move(tensor));
  }
  return absl::OkStatus();
}

absl::Status read_optional_fields(const json::object& body, serving::InferRequest& request) {
  if (body.contains("id")) {
    auto id = read_string(body, "id");
    if (!id.ok()) return id.status();
    request.id = *std::move(id);
  }
  if (const auto* parameters = body.if_contains("parameters")) {
    auto read = read_parameters(*parameters);
    if (!read.ok()) return read.status();
    request.parameters = *std::move(read);
  }
  if (const auto* outputs = body.if_contains("outputs")) return read_outputs(*outputs, request);
  return absl::OkStatus();
}

std::optional<serving::Parameter> to_parameter(const json::value& value) {
  if (value.is_bool()) return value.get_bool();
  if (value.is_int64()) return value.get_int64();
  if (value.is_double()) return value.get_double();
  if (value.is_string()) return std::string(to_view(value.get_string()));
  return std::nullopt;
}

}  // namespace

absl::StatusOr<serving::Parameters> read_parameters(const json::value& value) {
  const auto* object = value.if_object();
  if (object == nullptr) return invalid("Unable to parse 'parameters': expected an object");
  serving::Parameters parameters;
  for (const auto& member : *object) {
    const std::string name(member.key());
    if (std::ranges::find(kUnsupported, name) != std::end(kUnsupported)) {
      return invalid("parameter '", name, "' is not supported");
    }
    auto parameter = to_parameter(member.value());
    if (!parameter) return invalid("parameter '", name, "' must be a string, a number or a boolean");
    parameters.emplace(name, *std::move(parameter));
  }
  return parameters;
}

absl::StatusOr<std::shared_ptr<serving::InferRequest>> read_infer_request(std::string_view body) {
  const auto parsed = parse_json(body);
  if (!parsed.ok()) return parsed.status();
  const auto* object = parsed->if_object();
  if (object == nullptr) return invalid("failed to parse the request JSON buffer: expected an object");
  auto request = std::make_shared<serving::InferRequest>();
  if (absl::Status status = read_inputs(*object, *request); !status.ok()) return status;
  if (absl::Status status = read_optional_fields(*object, *request); !status.ok()) return status;
  return request;
}

void write_parameters(const serving::Parameters& parameters, std::string& out) {
  for (const auto& [name, parameter] : parameters) {
    out += ',';
    append_json_string(out, name);
    out += ':';
    if (const auto* text = std::get_if<std::string>(&parameter)) {
      append_json_string(out, *text);
    } else {
      std::visit([&out](const auto& value) { out += json::serialize(json::value_from(value)); }, parameter);
    }
  }
}

absl::StatusOr<std::string> write_infer_response(const serving::ModelMetadata& model,
                                                 const serving::InferRequest& request,
                                                 const serving::InferResponse& response) {
  std::string out = "{";
  if (!request.id.empty()) {
    out += "\"id\":";
    append_json_string(out, request.id);
    out += ',';
  }
  out += "\"model_name\":";
  append_json_string(out, model.name);
  out += ",\"model_version\":";
  append_json_string(out, model.version);
  if (!response.parameters.empty()) {
    std::string parameters;
    write_parameters(response.parameters, parameters);
    out.append(",\"parameters\":{").append(parameters, 1).append("}");
  }
  out += ",\"outputs\":[";
  bool first = true;
  for (const serving::Tensor& tensor : response.outputs) {
    const auto& requested = request.requested_outputs;
    if (!requested.empty() && std::ranges::find(requested, tensor.name) == requested.end()) continue;
    if (!std::exchange(first, false)) out += ',';
    if (absl::Status status = write_tensor(tensor, out); !status.ok()) return status;
  }
  return out + "]}";
}

}  // namespace zeta::server::kserve
