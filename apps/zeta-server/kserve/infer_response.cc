#include <boost/json/serialize.hpp>
#include <boost/json/value_from.hpp>
#include <utility>

#include "apps/zeta-server/json.h"
#include "apps/zeta-server/kserve/infer_json.h"
#include "apps/zeta-server/kserve/tensor_json.h"
#include "src/base/concat.h"
#include "src/base/json_string.h"
#include "src/serving/data_type.h"
#include "src/serving/tensor.h"

namespace zeta::server::kserve {
namespace {

void write_head(const serving::ModelMetadata& model, const ReadRequest& request,
                const serving::InferResponse& response, std::string& out) {
  out += '{';
  if (!request.request->id.empty()) {
    out += "\"id\":";
    append_json_string(out, request.request->id);
    out += ',';
  }
  out += "\"model_name\":";
  append_json_string(out, model.name);
  out += ",\"model_version\":";
  append_json_string(out, model.version);
  if (response.parameters.empty()) return;
  std::string parameters;
  write_parameters(response.parameters, parameters);
  out.append(",\"parameters\":{").append(parameters, 1).append("}");
}

absl::Status write_output(const serving::DeliveredOutput& output, bool binary, WrittenResponse& written) {
  std::string& out = written.json;
  const bool shared = output.request != nullptr && output.request->target;
  if (!binary && !shared) return write_tensor(output.tensor, out);
  write_tensor_head(output.tensor, out);
  if (!shared) {
    out += concat(",\"parameters\":{\"binary_data_size\":", output.byte_size, "}");
    const serving::Buffer& data = output.tensor.data;
    written.tail.push_back({{reinterpret_cast<const char*>(data.data), data.size}, data.owner});
  }
  out += '}';
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<WrittenResponse> write_infer_response(const serving::ModelMetadata& model,
                                                     const ReadRequest& request,
                                                     serving::InferResponse response) {
  WrittenResponse written;
  write_head(model, request, response, written.json);
  auto outputs = serving::deliver_outputs(model, request.outputs, std::move(response.outputs));
  if (!outputs.ok()) return outputs.status();
  written.json += ",\"outputs\":[";
  bool first = true;
  for (serving::DeliveredOutput& output : *outputs) {
    if (!std::exchange(first, false)) written.json += ',';
    const bool binary =
        output.request != nullptr && output.request->binary ? *output.request->binary : request.binary_output;
    if (absl::Status status = write_output(output, binary, written); !status.ok()) return status;
  }
  written.json += "]}";
  return written;
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

}  // namespace zeta::server::kserve
