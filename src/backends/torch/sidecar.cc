#include "src/backends/torch/sidecar.h"

#include <algorithm>
#include <boost/json.hpp>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "src/base/concat.h"
#include "src/serving/data_type.h"
#include "src/serving/tensor.h"

namespace zeta::torch_backend {
namespace {

namespace json = boost::json;
using serving::TensorMetadata;

TensorMetadata read_tensor(const json::value& value) {
  const json::object& fields = value.as_object();
  TensorMetadata tensor;
  tensor.name = json::value_to<std::string>(fields.at("name"));
  const auto type = json::value_to<std::string>(fields.at("datatype"));
  const auto known = serving::parse_data_type(type);
  if (!known)
    throw std::invalid_argument(concat("tensor '", tensor.name, "' has unknown datatype '", type, "'"));
  tensor.datatype = *known;
  tensor.shape = json::value_to<std::vector<int64_t>>(fields.at("shape"));
  if (const auto* optional = fields.if_contains("optional")) tensor.optional = optional->as_bool();
  return tensor;
}

std::vector<TensorMetadata> read_tensors(const json::value& list) {
  std::vector<TensorMetadata> tensors;
  for (const json::value& value : list.as_array()) tensors.push_back(read_tensor(value));
  return tensors;
}

bool shapes_agree(const std::vector<int64_t>& a, const std::vector<int64_t>& b) {
  return std::ranges::equal(a, b, [](int64_t x, int64_t y) { return x == y || x < 0 || y < 0; });
}

absl::Status check(const std::vector<TensorMetadata>& configured, const std::vector<TensorMetadata>& told,
                   std::string_view kind) {
  for (const TensorMetadata& tensor : configured) {
    const auto same = std::ranges::find(told, tensor.name, &TensorMetadata::name);
    if (same == told.end()) continue;
    if (same->datatype != tensor.datatype) {
      return absl::InvalidArgumentError(
          concat(kind, " '", tensor.name, "' is ", serving::data_type_name(tensor.datatype),
                 " in the configuration, but the model's is ", serving::data_type_name(same->datatype)));
    }
    if (!shapes_agree(same->shape, tensor.shape)) {
      return absl::InvalidArgumentError(
          concat(kind, " '", tensor.name, "' has shape ", serving::shape_text(tensor.shape),
                 " in the configuration, but the model's is ", serving::shape_text(same->shape)));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::optional<Sidecar>> read_sidecar(const std::string& folder) {
  const std::string path = folder + "/tensors.json";
  std::ifstream file(path);
  if (!file) return std::nullopt;
  std::ostringstream text;
  text << file.rdbuf();
  try {
    const json::value fields = json::parse(text.str());
    return Sidecar{read_tensors(fields.as_object().at("inputs")),
                   read_tensors(fields.as_object().at("outputs"))};
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(concat(path, ": ", error.what()));
  }
}

absl::Status complete(const std::optional<Sidecar>& sidecar, serving::ModelSource& source) {
  if (sidecar) {
    absl::Status status = check(source.inputs, sidecar->inputs, "input");
    status.Update(check(source.outputs, sidecar->outputs, "output"));
    if (!status.ok()) return status;
    if (source.inputs.empty()) source.inputs = sidecar->inputs;
    if (source.outputs.empty()) source.outputs = sidecar->outputs;
  }
  const char* missing = source.inputs.empty() ? "input" : source.outputs.empty() ? "output" : nullptr;
  if (missing == nullptr) return absl::OkStatus();
  return absl::InvalidArgumentError(concat("model '", source.name, "' has no '", missing,
                                           "': a PyTorch model does not tell types and shapes itself, so ",
                                           "config.pbtxt must, or ", source.folder,
                                           "/tensors.json, which zeta.export writes"));
}

}  // namespace zeta::torch_backend
