#include "src/backends/torch/signature.h"

#include <algorithm>
#include <utility>

#include "src/backends/torch/naming.h"
#include "src/base/concat.h"
#include "src/serving/tensor.h"

namespace zeta::torch_backend {
namespace {

using serving::DataType;

bool is_dictionary_of_tensors(const c10::Argument& argument) {
  const auto type = argument.type()->cast<c10::DictType>();
  return type && type->getKeyType()->kind() == c10::TypeKind::StringType &&
         type->getValueType()->kind() == c10::TypeKind::TensorType;
}

bool can_be(const c10::TypePtr& type, DataType datatype) {
  if (const auto optional = type->cast<c10::OptionalType>())
    return can_be(optional->getElementType(), datatype);
  if (datatype != DataType::kBytes) return type->kind() == c10::TypeKind::TensorType;
  const auto list = type->cast<c10::ListType>();
  return list && list->getElementType()->kind() == c10::TypeKind::StringType;
}

bool may_be_left_out(const c10::Argument& argument) {
  return argument.default_value().has_value() || argument.type()->kind() == c10::TypeKind::OptionalType;
}

std::vector<std::string> names_of(const std::vector<c10::Argument>& arguments) {
  std::vector<std::string> names;
  for (const c10::Argument& argument : arguments) names.push_back(argument.name());
  return names;
}

}  // namespace

absl::Status check_shape(const serving::TensorMetadata& expected, const serving::BatchInput& given) {
  const bool fits = std::ranges::equal(expected.shape, given.shape,
                                       [](int64_t want, int64_t have) { return want < 0 || want == have; });
  if (fits && expected.datatype == given.datatype) return absl::OkStatus();
  return absl::InvalidArgumentError(concat("input '", given.name, "' has shape ",
                                           serving::shape_text(given.shape), ", expected ",
                                           serving::shape_text(expected.shape)));
}

absl::StatusOr<Signature> Signature::match(const torch::jit::Module& module,
                                           const std::vector<serving::TensorMetadata>& inputs) {
  const auto forward = module.find_method("forward");
  if (!forward) return absl::InvalidArgumentError("the TorchScript module has no method 'forward'");
  Signature signature;
  const auto& all = forward->function().getSchema().arguments();
  signature.arguments_.assign(all.begin() + 1, all.end());  // without self
  const auto& arguments = signature.arguments_;
  if (arguments.size() == 1 && is_dictionary_of_tensors(arguments[0])) {
    signature.takes_dictionary_ = true;
    for (const auto& input : inputs) signature.slots_.push_back({input, 0});
    return signature;
  }
  const auto positions = positions_of(inputs, names_of(arguments), arguments.size());
  if (!positions.ok()) return positions.status();
  for (size_t i = 0; i < inputs.size(); ++i) {
    const c10::Argument& argument = arguments[(*positions)[i]];
    if (!can_be(argument.type(), inputs[i].datatype)) {
      return absl::InvalidArgumentError(
          concat("input '", inputs[i].name, "' would be argument '", argument.name(),
                 "' of the model, which is a ", argument.type()->annotation_str(),
                 ": expected Tensor, List[str] for TYPE_STRING, or one Dict[str, Tensor]"));
    }
    signature.slots_.push_back({inputs[i], (*positions)[i]});
  }
  for (size_t position = 0; position < arguments.size(); ++position) {
    const bool given = std::ranges::any_of(signature.slots_, [&](const Slot& slot) {
      return slot.position == position && !slot.input.optional;
    });
    if (given || may_be_left_out(arguments[position])) continue;
    return absl::InvalidArgumentError(concat("no input, or only an optional one, for the model's argument '",
                                             arguments[position].name(), "'"));
  }
  return signature;
}

std::vector<c10::IValue> Signature::arguments(std::vector<c10::IValue> inputs) const {
  std::vector<c10::IValue> values;
  c10::Dict<std::string, at::Tensor> dictionary;
  for (const c10::Argument& argument : arguments_) {
    values.push_back(argument.default_value().value_or(c10::IValue()));
  }
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (inputs[i].isNone()) continue;
    if (takes_dictionary_) {
      dictionary.insert(slots_[i].input.name, inputs[i].toTensor());
    } else {
      values[slots_[i].position] = std::move(inputs[i]);
    }
  }
  if (takes_dictionary_) values[0] = std::move(dictionary);
  return values;
}

}  // namespace zeta::torch_backend
