#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "src/base/concat.h"
#include "src/serving/model_config/check.h"

namespace zeta::serving {
namespace {

using inference::ModelConfig;

template <class... Parts>
absl::Status invalid(const Parts&... parts) {
  return absl::InvalidArgumentError(concat(parts...));
}

template <class Dims>
bool are_dims(const Dims& dims) {
  return std::ranges::all_of(dims, [](int64_t dim) { return dim >= 1 || dim == -1; });
}

// The products of the fixed dimensions before, between and after those that vary; the same segments mean that
// one shape can stand for the other. Saturates, so that no product overflows.
template <class Dims>
std::vector<int64_t> segments(const Dims& dims) {
  constexpr int64_t kTooMuch = int64_t{1} << 48;
  std::vector<int64_t> products{1};
  for (const int64_t dim : dims) {
    if (dim == -1) {
      products.push_back(1);
    } else {
      products.back() = dim > kTooMuch / products.back() ? kTooMuch : products.back() * dim;
    }
  }
  return products;
}

// `tensor`: "model input 'X'".
template <class Proto>
absl::Status check_reshape(const ModelConfig& config, const std::string& tensor, const Proto& proto) {
  if (!proto.has_reshape()) return absl::OkStatus();
  const auto& shape = proto.reshape().shape();
  if (shape.empty() && config.max_batch_size() == 0) {
    return invalid(tensor, " cannot have empty reshape for non-batching model as scalar tensors are not ",
                   "supported for ", config.name());
  }
  if (!are_dims(shape)) {
    return invalid(tensor, " reshape dimensions must be integer >= 1, or -1 to indicate a variable-size ",
                   "dimension for ", config.name());
  }
  if (segments(proto.dims()) == segments(shape)) return absl::OkStatus();
  return invalid(tensor, " has different size for dims and reshape for ", config.name());
}

template <class Proto>
absl::Status check_tensor(const ModelConfig& config, const char* kind, const Proto& proto,
                          std::set<std::string>& names) {
  if (proto.name().empty()) return invalid("model ", kind, " must specify 'name' for ", config.name());
  const std::string tensor = concat("model ", kind, " '", proto.name(), "'");
  if (!names.insert(proto.name()).second) return invalid(tensor, " is specified twice for ", config.name());
  if (proto.data_type() == inference::TYPE_INVALID) {
    return invalid(tensor, " must specify 'data_type' for ", config.name());
  }
  if (proto.dims().empty()) return invalid(tensor, " must specify 'dims' for ", config.name());
  if (!are_dims(proto.dims())) {
    return invalid(tensor,
                   " dimension must be integer >= 1, or -1 to indicate a variable-size dimension for ",
                   config.name());
  }
  if (proto.is_shape_tensor()) {
    return invalid("shape tensors are only supported for TensorRT platform for ", config.name());
  }
  if (proto.is_non_linear_format_io()) {
    return invalid(tensor, ": is_non_linear_format_io is only supported for TensorRT platform for ",
                   config.name());
  }
  return check_reshape(config, tensor, proto);
}

template <class Names>
absl::Status check_known(const ModelConfig& config, const char* what, const Names& names,
                         const std::set<std::string>& known) {
  for (const std::string& name : names) {
    if (!known.contains(name)) return invalid("unknown ", what, " name '", name, "' for ", config.name());
  }
  return absl::OkStatus();
}

absl::Status check_batch_tensors(const ModelConfig& config, const std::set<std::string>& inputs,
                                 const std::set<std::string>& outputs) {
  for (const auto& input : config.batch_input()) {
    if (input.data_type() != inference::TYPE_INT32 && input.data_type() != inference::TYPE_FP32) {
      return invalid("batch input data type must be TYPE_INT32 or TYPE_FP32 for ", config.name());
    }
    if (input.source_input_size() != 1) {
      return invalid("batch input kind '", inference::BatchInput::Kind_Name(input.kind()),
                     "' expects 1 source input, got ", input.source_input_size(), " for ", config.name());
    }
    if (input.target_name_size() == 0)
      return invalid("batch input must specify 'target_name' for ", config.name());
    absl::Status status = check_known(config, "source input", input.source_input(), inputs);
    if (!status.ok()) return status;
  }
  for (const auto& output : config.batch_output()) {
    if (output.source_input_size() != 1) {
      return invalid("batch output kind '", inference::BatchOutput::Kind_Name(output.kind()),
                     "' expects 1 source input, got ", output.source_input_size(), " for ", config.name());
    }
    absl::Status status = check_known(config, "source input", output.source_input(), inputs);
    if (status.ok()) status = check_known(config, "target output", output.target_name(), outputs);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status check_tensors(const ModelConfig& config) {
  std::set<std::string> inputs, outputs;
  for (const auto& input : config.input()) {
    if (absl::Status status = check_tensor(config, "input", input, inputs); !status.ok()) return status;
    if (input.format() != inference::ModelInput::FORMAT_NONE && input.dims_size() != 3) {
      return invalid("model input NHWC/NCHW require 3 dims for ", config.name());
    }
  }
  for (const auto& output : config.output()) {
    if (absl::Status status = check_tensor(config, "output", output, outputs); !status.ok()) return status;
  }
  return check_batch_tensors(config, inputs, outputs);
}

}  // namespace zeta::serving
