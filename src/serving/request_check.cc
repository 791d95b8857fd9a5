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

// What Triton says before whatever is wrong with a request that it could read.
std::string prefix(const InferRequest& request) {
  return concat("[request id: ", request.id.empty() ? "<id_unknown>" : request.id, "] ");
}

absl::Status check_size(const ModelMetadata& model, const std::string& id, const Tensor& tensor,
                        int64_t count) {
  if (tensor.datatype == DataType::kBytes) return bytes_elements(tensor).status();
  const size_t expected = static_cast<size_t>(count) * element_size(tensor.datatype);
  if (tensor.data.size == expected) return absl::OkStatus();
  return invalid(id, "input byte size mismatch for input '", tensor.name, "' for model '", model.name,
                 "'. Expected ", expected, ", got ", tensor.data.size);
}

constexpr std::string_view kBatchNote =
    ". NOTE: Setting a non-zero max_batch_size in the model config requires a batch dimension to be "
    "prepended "
    "to each input shape. If you want to specify the full shape including the batch dim in your input dims "
    "config, try setting max_batch_size to zero. See the model configuration docs for more info on "
    "max_batch_size.";

const TensorMetadata* find_input(const ModelMetadata& model, std::string_view name) {
  const auto found = std::ranges::find(model.inputs, name, &TensorMetadata::name);
  return found == model.inputs.end() ? nullptr : &*found;
}

absl::Status check_input(const ModelMetadata& model, const std::string& id, const Tensor& tensor) {
  const TensorMetadata& expected = *find_input(model, tensor.name);
  if (expected.datatype != tensor.datatype) {
    return invalid(id, "inference input '", tensor.name, "' data-type is '", data_type_name(tensor.datatype),
                   "', but model '", model.name, "' expects '", data_type_name(expected.datatype), "'");
  }
  const auto count = element_count(tensor.shape);
  if (!count.ok()) return invalid(id, "input '", tensor.name, "': ", std::string(count.status().message()));
  if (!shape_fits(expected.shape, tensor.shape)) {
    return invalid(id, "unexpected shape for input '", tensor.name, "' for model '", model.name,
                   "'. Expected ", shape_text(expected.shape), ", got ", shape_text(tensor.shape),
                   model.batched() ? kBatchNote : std::string_view(". "));
  }
  return check_size(model, id, tensor, *count);
}

// That all inputs bring the same number of items, and not too many.
absl::Status check_batch(const ModelMetadata& model, const std::string& id, const InferRequest& request) {
  int64_t size = -1;
  for (const Tensor& tensor : request.inputs) {
    if (tensor.shape.empty()) {
      return invalid(id, "input '", tensor.name, "' has no shape but model requires batch dimension for '",
                     model.name, "'");
    }
    if (size < 0) size = tensor.shape.front();
    if (tensor.shape.front() != size) {
      return invalid(id, "input '", tensor.name, "' batch size does not match other inputs for '", model.name,
                     "'");
    }
  }
  if (size > model.max_batch_size) {
    return invalid(id, "inference request batch-size must be <= ", model.max_batch_size, " for '", model.name,
                   "'");
  }
  if (size == 0) return invalid(id, "inference request batch-size must be >= 1 for '", model.name, "'");
  return absl::OkStatus();
}

absl::Status check_completeness(const ModelMetadata& model, const std::string& id,
                                const InferRequest& request) {
  std::vector<std::string_view> given, missing;
  for (const Tensor& tensor : request.inputs) {
    if (std::ranges::find(given, tensor.name) != given.end()) {
      return invalid("input '", tensor.name, "' is given twice for model '", model.name, "'");
    }
    given.push_back(tensor.name);
  }
  size_t required = 0;
  for (const TensorMetadata& input : model.inputs) {
    if (input.optional) continue;
    ++required;
    if (find_tensor(request.inputs, input.name) == nullptr) missing.push_back(input.name);
  }
  if (missing.empty()) return absl::OkStatus();
  const std::string expected =
      required == model.inputs.size()
          ? concat("expected ", required, " inputs")
          : concat("expected number of inputs between ", required, " and ", model.inputs.size());
  return invalid(id, expected, " but got ", request.inputs.size(), " inputs for model '", model.name,
                 "'. Got input(s) ", quoted_list(given), ", but missing required input(s) ",
                 quoted_list(missing), ". Please provide all required input(s).");
}

}  // namespace

absl::Status check_request(const ModelMetadata& model, const InferRequest& request) {
  for (const Tensor& tensor : request.inputs) {
    if (find_input(model, tensor.name) == nullptr) {
      return invalid("unexpected inference input '", tensor.name, "' for model '", model.name, "'");
    }
  }
  for (const std::string& name : request.requested_outputs) {
    if (std::ranges::find(model.outputs, name, &TensorMetadata::name) == model.outputs.end()) {
      return invalid("unexpected inference output '", name, "' for model '", model.name, "'");
    }
  }
  const std::string id = prefix(request);
  if (absl::Status status = check_completeness(model, id, request); !status.ok()) return status;
  if (model.batched()) {
    if (absl::Status status = check_batch(model, id, request); !status.ok()) return status;
  }
  for (const Tensor& tensor : request.inputs) {
    if (absl::Status status = check_input(model, id, tensor); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace zeta::serving
