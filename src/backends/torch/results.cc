#include "src/backends/torch/results.h"

#include <algorithm>
#include <map>
#include <utility>

#include "src/backends/torch/naming.h"
#include "src/backends/torch/tensors.h"
#include "src/base/concat.h"

namespace zeta::torch_backend {
namespace {

bool is_strings(const c10::IValue& value) {
  return value.isList() && value.toListRef().size() > 0 && value.toListRef()[0].isString();
}

std::vector<c10::IValue> elements_of(const c10::IValue& value) {
  if (value.isTuple()) return value.toTupleRef().elements();
  if (value.isTensorList()) {
    std::vector<c10::IValue> tensors;
    for (const at::Tensor& tensor : value.toTensorVector()) tensors.emplace_back(tensor);
    return tensors;
  }
  if (value.isList() && !is_strings(value)) return value.toListRef().vec();
  return {value};
}

absl::StatusOr<serving::Tensor> read_one(const serving::TensorMetadata& output, const c10::IValue& value,
                                         bool non_blocking) {
  if (value.isTensor()) return from_tensor(output.name, value.toTensor(), non_blocking);
  const bool empty_list = value.isList() && value.toListRef().empty();
  if (is_strings(value) || (empty_list && output.datatype == serving::DataType::kBytes)) {
    std::vector<std::string> strings;
    for (const c10::IValue& element : value.toListRef()) strings.push_back(element.toStringRef());
    return from_strings(output.name, strings, output.shape.size());
  }
  return absl::InternalError(concat("output '", output.name,
                                    "' must be a tensor or a list of strings, but the ", "model gave a ",
                                    value.tagKind()));
}

}  // namespace

absl::StatusOr<Results> Results::match(const std::vector<serving::TensorMetadata>& outputs,
                                       const std::vector<std::string>& names, size_t count) {
  auto positions = positions_of(outputs, names, count);
  if (!positions.ok()) return positions.status();
  Results results;
  results.outputs_ = outputs;
  results.positions_ = *std::move(positions);
  return results;
}

absl::StatusOr<std::vector<serving::Tensor>> Results::read(const c10::IValue& result,
                                                           const std::vector<std::string>& wanted,
                                                           bool non_blocking) const {
  const bool by_name = result.isGenericDict();
  const std::vector<c10::IValue> elements = by_name ? std::vector<c10::IValue>() : elements_of(result);
  std::vector<serving::Tensor> tensors;
  for (size_t i = 0; i < outputs_.size(); ++i) {
    const serving::TensorMetadata& output = outputs_[i];
    if (!wanted.empty() && std::ranges::find(wanted, output.name) == wanted.end()) continue;
    c10::IValue value;
    if (by_name) {
      const auto dictionary = result.toGenericDict();
      const auto found = dictionary.find(output.name);
      if (found != dictionary.end()) value = found->value();
    } else if (positions_[i] < elements.size()) {
      value = elements[positions_[i]];
    }
    if (value.isNone()) {
      return absl::InternalError(concat("the model gave ",
                                        by_name ? result.toGenericDict().size() : elements.size(),
                                        " results, without output '", output.name, "'"));
    }
    auto tensor = read_one(output, value, non_blocking);
    if (!tensor.ok()) return tensor.status();
    if (absl::Status status = check_type(output, *tensor); !status.ok()) return status;
    tensors.push_back(*std::move(tensor));
  }
  return tensors;
}

}  // namespace zeta::torch_backend
