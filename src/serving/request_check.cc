#include "src/serving/request_check.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/concat.h"
#include "src/serving/data_type.h"
#include "src/serving/tensor.h"

namespace zeta::serving {
namespace {

template <class... Parts>
absl::Status invalid(const Parts&... parts) {
  return absl::InvalidArgumentError(concat(parts...));
}

std::string quoted_list(const std::vector<std::string_view>& names) {
  std::string list;
  for (const std::string_view name : names) list += concat(list.empty() ? "'" : ", '", name, "'");
  return "[" + list + "]";
}

bool shape_fits(const std::vector<int64_t>& expected, const std::vector<int64_t>& got) {
  return std::ranges::equal(expected, got,
                            [](int64_t want, int64_t have) { return want < 0 || want == have; });
}

absl::Status check_size(const ModelMetadata& model, const Tensor& tensor, int64_t count) {
  if (tensor.datatype == DataType::kBytes) return bytes_elements(tensor).status();
  const size_t expected = static_cast<size_t>(count) * element_size(tensor.datatype);
  if (tensor.data.size == expected) return absl::OkStatus();
  return invalid("input byte size mismatch for input '", tensor.name, "' for model '", model.name,
                 "'. Expected ", expected, ", got ", tensor.data.size);
}

absl::Status check_input(const ModelMetadata& model, const Tensor& tensor) {
  const auto expected = std::ranges::find(model.inputs, tensor.name, &TensorMetadata::name);
  if (expected == model.inputs.end()) {
    return invalid("unexpected inference input '", tensor.name, "' for model '", model.name, "'");
  }
  if (expected->datatype != tensor.datatype) {
    return invalid("inference input '", tensor.name, "' data-type is '", data_type_name(tensor.datatype),
                   "', but model '", model.name, "' expects '", data_type_name(expected->datatype), "'");
  }
  const auto count = element_count(tensor.shape);
  if (!count.ok()) return invalid("input '", tensor.name, "': ", std::string(count.status().message()));
  if (!shape_fits(expected->shape, tensor.shape)) {
    return invalid("unexpected shape for input '", tensor.name, "' for model '", model.name, "'. Expected ",
                   shape_text(expected->shape), ", got ", shape_text(tensor.shape));
  }
  return check_size(model, tensor, *count);
}

absl::Status check_completeness(const ModelMetadata& model, const InferRequest& request) {
  std::vector<std::string_view> given, missing;
  for (const Tensor& tensor : request.inputs) {
    if (std::ranges::find(given, tensor.name) != given.end()) {
      return invalid("input '", tensor.name, "' is given twice for model '", model.name, "'");
    }
    given.push_back(tensor.name);
  }
  for (const TensorMetadata& input : model.inputs) {
    if (!input.optional && find_tensor(request.inputs, input.name) == nullptr) missing.push_back(input.name);
  }
  if (missing.empty()) return absl::OkStatus();
  return invalid("expected ", model.inputs.size(), " inputs but got ", request.inputs.size(),
                 " inputs for model '", model.name, "'. Got input(s) ", quoted_list(given),
                 ", but missing required input(s) ", quoted_list(missing),
                 ". Please provide all required input(s).");
}

}  // namespace

absl::Status check_request(const ModelMetadata& model, const InferRequest& request) {
  for (const Tensor& tensor : request.inputs) {
    if (absl::Status status = check_input(model, tensor); !status.ok()) return status;
  }
  for (const std::string& name : request.requested_outputs) {
    if (std::ranges::find(model.outputs, name, &TensorMetadata::name) == model.outputs.end()) {
      return invalid("unexpected inference output '", name, "' for model '", model.name, "'");
    }
  }
  return check_completeness(model, request);
}

}  // namespace zeta::serving
