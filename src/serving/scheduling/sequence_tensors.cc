#include "src/serving/scheduling/sequence_tensors.h"

#include <functional>
#include <numeric>
#include <string>
#include <utility>

#include "src/base/concat.h"
#include "src/serving/data_type.h"
#include "src/serving/tensor.h"

namespace zeta::serving {
namespace {

template <class T>
std::string bytes_of(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

// Empty where the type is none that a control can have.
std::string encode(DataType type, double value) {
  switch (type) {
    case DataType::kBool:
      return bytes_of(static_cast<uint8_t>(value != 0));
    case DataType::kInt32:
      return bytes_of(static_cast<int32_t>(value));
    case DataType::kFp32:
      return bytes_of(static_cast<float>(value));
    default:
      return {};
  }
}

std::string encode_id(DataType type, const SequenceIdentity& identity) {
  std::string bytes;
  if (const auto* text = std::get_if<std::string>(&identity.id)) {
    if (type == DataType::kBytes) append_bytes_element(bytes, *text);
    return bytes;
  }
  const int64_t id = std::get<int64_t>(identity.id);
  switch (type) {
    case DataType::kInt64:
    case DataType::kUint64:
      return bytes_of(id);
    case DataType::kInt32:
      return std::in_range<int32_t>(id) ? bytes_of(static_cast<int32_t>(id)) : "";
    case DataType::kUint32:
      return std::in_range<uint32_t>(id) ? bytes_of(static_cast<uint32_t>(id)) : "";
    default:
      return "";
  }
}

bool is_on(SequenceControl::Kind kind, const SequenceIdentity& identity, bool is_ready) {
  switch (kind) {
    case SequenceControl::Kind::kStart:
      return is_ready && identity.start;
    case SequenceControl::Kind::kEnd:
      return is_ready && identity.end;
    default:
      return is_ready;
  }
}

}  // namespace

absl::StatusOr<Tensor> control_tensor(const SequenceControl& control, const SequenceIdentity& identity,
                                      bool is_ready, bool has_batch_dimension) {
  const bool is_id = control.kind == SequenceControl::Kind::kCorrelationId;
  std::string bytes =
      is_id ? encode_id(control.datatype, identity)
            : encode(control.datatype, is_on(control.kind, identity, is_ready) ? control.on : control.off);
  if (bytes.empty()) {
    return absl::InvalidArgumentError(concat("control input '", control.name, "' of type ",
                                             data_type_name(control.datatype), " cannot hold ",
                                             is_id ? "the correlation ID " + identity.text() : "its value"));
  }
  std::vector<int64_t> shape(has_batch_dimension ? 2 : 1, 1);
  return Tensor{control.name, control.datatype, std::move(shape), make_buffer(std::move(bytes))};
}

std::vector<int64_t> initial_shape(const SequenceState& state, bool has_batch_dimension) {
  std::vector<int64_t> shape;
  if (has_batch_dimension) shape.push_back(1);
  const auto& dims = state.initial_dims.empty() ? state.dims : state.initial_dims;
  for (const int64_t dimension : dims) shape.push_back(dimension < 0 ? 1 : dimension);
  return shape;
}

Tensor initial_state(const SequenceState& state, bool has_batch_dimension) {
  std::vector<int64_t> shape = initial_shape(state, has_batch_dimension);
  const int64_t count = std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
  // An empty text has a length of four zero bytes.
  const size_t element = state.datatype == DataType::kBytes ? sizeof(uint32_t) : element_size(state.datatype);
  std::string bytes =
      state.initial.empty() ? std::string(static_cast<size_t>(count) * element, '\0') : state.initial;
  return {state.input_name, state.datatype, std::move(shape), make_buffer(std::move(bytes))};
}

}  // namespace zeta::serving
