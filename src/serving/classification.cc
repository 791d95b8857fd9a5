#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <numeric>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "src/base/concat.h"
#include "src/serving/data_type.h"
#include "src/serving/requested_output.h"
#include "src/serving/tensor.h"

namespace zeta::serving {
namespace {

// As printf and std::to_string write it, which is what Triton's clients parse.
template <class T>
std::string number_text(T value) {
  if constexpr (std::is_floating_point_v<T>) {
    char text[512];
    std::snprintf(text, sizeof text, "%f", static_cast<double>(value));
    return text;
  } else {
    return std::to_string(value);
  }
}

// NaN stands behind all else: comparing with it would not be an order.
template <class T>
bool above(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(a) || std::isnan(b)) return !std::isnan(a) && std::isnan(b);
  }
  return a > b;
}

template <class T>
void append_classes(const std::byte* data, size_t width, size_t count, const std::vector<std::string>& labels,
                    std::string& out) {
  std::vector<T> values(width);
  if (width != 0) std::memcpy(values.data(), data, width * sizeof(T));
  std::vector<size_t> order(width);
  std::iota(order.begin(), order.end(), size_t{0});
  const auto higher = [&](size_t a, size_t b) {
    if (above(values[a], values[b])) return true;
    return !above(values[b], values[a]) && a < b;
  };
  std::partial_sort(order.begin(), order.begin() + static_cast<ptrdiff_t>(count), order.end(), higher);
  for (size_t i = 0; i < count; ++i) {
    std::string text = concat(number_text(values[order[i]]), ":", order[i]);
    if (order[i] < labels.size()) text += concat(":", labels[order[i]]);
    append_bytes_element(out, text);
  }
}

using Append = void (*)(const std::byte*, size_t, size_t, const std::vector<std::string>&, std::string&);

Append appender(DataType type) {
  switch (type) {
    case DataType::kUint8:
      return append_classes<uint8_t>;
    case DataType::kUint16:
      return append_classes<uint16_t>;
    case DataType::kUint32:
      return append_classes<uint32_t>;
    case DataType::kUint64:
      return append_classes<uint64_t>;
    case DataType::kInt8:
      return append_classes<int8_t>;
    case DataType::kInt16:
      return append_classes<int16_t>;
    case DataType::kInt32:
      return append_classes<int32_t>;
    case DataType::kInt64:
      return append_classes<int64_t>;
    case DataType::kFp32:
      return append_classes<float>;
    case DataType::kFp64:
      return append_classes<double>;
    default:
      return nullptr;
  }
}

}  // namespace

absl::StatusOr<Tensor> classify(const Tensor& tensor, int64_t count, bool batched,
                                const std::vector<std::string>& labels) {
  const Append append = appender(tensor.datatype);
  if (append == nullptr) {
    return absl::InvalidArgumentError(concat("class result not available for output '", tensor.name,
                                             "' due to unsupported type '", data_type_name(tensor.datatype),
                                             "'"));
  }
  const auto elements = element_count(tensor.shape);
  if (!elements.ok()) return elements.status();
  const int64_t rows = batched && !tensor.shape.empty() ? tensor.shape.front() : 1;
  const int64_t width = rows == 0 ? 0 : *elements / rows;
  const int64_t kept = std::min(count, width);
  std::string data;
  for (int64_t row = 0; row < rows; ++row) {
    const auto offset = static_cast<size_t>(row * width) * element_size(tensor.datatype);
    append(tensor.data.data + offset, static_cast<size_t>(width), static_cast<size_t>(kept), labels, data);
  }
  std::vector<int64_t> shape{kept};
  if (batched) shape.insert(shape.begin(), rows);
  return Tensor{tensor.name, DataType::kBytes, std::move(shape), make_buffer(std::move(data))};
}

}  // namespace zeta::serving
