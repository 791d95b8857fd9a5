#include "apps/zeta-server/kserve/tensor_json.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "apps/zeta-server/json.h"
#include "src/base/concat.h"
#include "src/base/json_string.h"
#include "src/serving/data_type.h"
#include "src/serving/tensor.h"

namespace zeta::server::kserve {
namespace {

using serving::DataType;

// Calls `visit` with a value of the C++ type of `type`; false for types without JSON numbers.
template <class Visitor>
bool with_element_type(DataType type, Visitor&& visit) {
  switch (type) {
    case DataType::kBool:
      return visit(bool{}), true;
    case DataType::kUint8:
      return visit(uint8_t{}), true;
    case DataType::kUint16:
      return visit(uint16_t{}), true;
    case DataType::kUint32:
      return visit(uint32_t{}), true;
    case DataType::kUint64:
      return visit(uint64_t{}), true;
    case DataType::kInt8:
      return visit(int8_t{}), true;
    case DataType::kInt16:
      return visit(int16_t{}), true;
    case DataType::kInt32:
      return visit(int32_t{}), true;
    case DataType::kInt64:
      return visit(int64_t{}), true;
    case DataType::kFp32:
      return visit(float{}), true;
    case DataType::kFp64:
      return visit(double{}), true;
    default:
      return false;
  }
}

template <class T>
bool convert(const json::value& value, T& element) {
  if constexpr (std::is_same_v<T, bool>) {
    if (value.is_bool()) return element = value.get_bool(), true;
    const auto* number = value.if_int64();
    if (number == nullptr || (*number != 0 && *number != 1)) return false;
    element = *number == 1;
    return true;
  } else if constexpr (std::is_floating_point_v<T>) {
    boost::json::error_code error;
    element = static_cast<T>(value.to_number<double>(error));
    return !error && std::isfinite(element);
  } else {
    if (!value.is_int64() && !value.is_uint64()) return false;
    boost::json::error_code error;
    element = value.to_number<T>(error);
    return !error;
  }
}

// Appends the elements of `value`, which is one element or an array of such values.
template <class T>
bool append_numbers(const json::value& value, std::string& bytes) {
  if (const auto* array = value.if_array()) {
    for (const auto& element : *array) {
      if (!append_numbers<T>(element, bytes)) return false;
    }
    return true;
  }
  T element{};
  if (!convert(value, element)) return false;
  bytes.append(reinterpret_cast<const char*>(&element), sizeof element);
  return true;
}

// Counts them too.
bool append_strings(const json::value& value, std::string& bytes, int64_t& count) {
  if (const auto* array = value.if_array()) {
    for (const auto& element : *array) {
      if (!append_strings(element, bytes, count)) return false;
    }
    return true;
  }
  if (!value.is_string()) return false;
  serving::append_bytes_element(bytes, to_view(value.get_string()));
  ++count;
  return true;
}

template <class T>
bool append_number(T value, std::string& out) {
  if constexpr (std::is_same_v<T, bool>) {
    out += value ? "true" : "false";
  } else {
    if constexpr (std::is_floating_point_v<T>) {
      if (!std::isfinite(value)) return false;
    }
    std::array<char, 32> digits;
    out.append(digits.data(), std::to_chars(digits.begin(), digits.end(), value).ptr);
  }
  return true;
}

template <class T>
bool write_numbers(const serving::Tensor& tensor, std::string& out) {
  for (size_t offset = 0; offset < tensor.data.size; offset += sizeof(T)) {
    T value;
    std::memcpy(&value, tensor.data.data + offset, sizeof value);
    if (offset != 0) out += ',';
    if (!append_number(value, out)) return false;
  }
  return true;
}

absl::Status write_strings(const serving::Tensor& tensor, std::string& out) {
  const auto elements = serving::bytes_elements(tensor);
  if (!elements.ok()) return absl::InternalError(std::string(elements.status().message()));
  for (size_t i = 0; i < elements->size(); ++i) {
    if (i != 0) out += ',';
    append_json_string(out, (*elements)[i]);
  }
  return absl::OkStatus();
}

absl::Status bad_value(const serving::TensorMetadata& tensor) {
  return absl::InvalidArgumentError(concat("Unable to parse 'data': input '", tensor.name,
                                           "' holds a value that is not a ",
                                           data_type_name(tensor.datatype)));
}

}  // namespace

absl::StatusOr<serving::Buffer> read_tensor_data(const serving::TensorMetadata& tensor,
                                                 const json::value& data) {
  const auto expected = serving::element_count(tensor.shape);
  if (!expected.ok()) return expected.status();
  std::string bytes;
  int64_t count = 0;
  bool fits = true;
  if (tensor.datatype == DataType::kBytes) {
    fits = append_strings(data, bytes, count);
  } else {
    const bool has_form = with_element_type(tensor.datatype, [&](auto zero) {
      fits = append_numbers<decltype(zero)>(data, bytes);
      count = static_cast<int64_t>(bytes.size() / sizeof zero);
    });
    if (!has_form) {
      return absl::InvalidArgumentError(concat("sending ", data_type_name(tensor.datatype),
                                               " data via JSON is not supported. Please use the binary data ",
                                               "format for input ", tensor.name));
    }
  }
  if (!data.is_array() || !fits) return bad_value(tensor);
  if (count != *expected) {
    return absl::InvalidArgumentError(concat(
        "Unable to parse 'data': Shape does not match true shape of 'data' field: input '", tensor.name,
        "' of shape ", serving::shape_text(tensor.shape), " has ", *expected, " elements, got ", count));
  }
  return serving::make_buffer(std::move(bytes));
}

absl::Status write_tensor_data(const serving::Tensor& tensor, std::string& out) {
  if (tensor.datatype == DataType::kBytes) return write_strings(tensor, out);
  bool fits = true;
  const bool has_form = with_element_type(
      tensor.datatype, [&](auto zero) { fits = write_numbers<decltype(zero)>(tensor, out); });
  if (has_form && fits) return absl::OkStatus();
  return absl::InternalError(concat("output '", tensor.name, "' of type ", data_type_name(tensor.datatype),
                                    has_form ? " holds NaN or an infinity, which" : "", " has no JSON form"));
}

void write_tensor_head(const serving::Tensor& tensor, std::string& out) {
  out += "{\"name\":";
  append_json_string(out, tensor.name);
  out.append(",\"datatype\":\"").append(data_type_name(tensor.datatype)).append("\",\"shape\":");
  out.append(serving::shape_text(tensor.shape));
}

absl::Status write_tensor(const serving::Tensor& tensor, std::string& out) {
  write_tensor_head(tensor, out);
  out += ",\"data\":[";
  absl::Status status = write_tensor_data(tensor, out);
  out += "]}";
  return status;
}

}  // namespace zeta::server::kserve
