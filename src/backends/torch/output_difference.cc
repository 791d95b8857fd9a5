#include "src/backends/torch/output_difference.h"

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "src/base/concat.h"
#include "src/serving/tensor.h"

namespace zeta::torch_backend {
namespace {

using serving::DataType;

constexpr double kUnits = 32;

template <class Value>
std::string difference_of_values(const serving::Tensor& expected, const serving::Tensor& actual) {
  double apart = 0, largest = 0;
  for (size_t at = 0; at + sizeof(Value) <= expected.data.size; at += sizeof(Value)) {
    Value one, other;
    std::memcpy(&one, expected.data.data + at, sizeof one);
    std::memcpy(&other, actual.data.data + at, sizeof other);
    const double want = static_cast<double>(one), got = static_cast<double>(other);
    if (std::isfinite(want) && std::isfinite(got)) {
      apart = std::max(apart, std::abs(want - got));
      largest = std::max(largest, std::abs(want));
    } else if (want != got && !(std::isnan(want) && std::isnan(got))) {
      return concat("has ", std::to_string(got), " where ", std::to_string(want), " was expected");
    }
  }
  const double unit = static_cast<double>(std::numeric_limits<Value>::epsilon());
  if (apart <= kUnits * unit * largest) return "";
  return concat("is apart by up to ", std::to_string(apart), " where the largest value is ",
                std::to_string(largest));
}

std::string difference_of(const serving::Tensor& expected, const serving::Tensor& actual) {
  if (expected.shape != actual.shape) {
    return concat("has shape ", serving::shape_text(actual.shape), ", expected ",
                  serving::shape_text(expected.shape));
  }
  const size_t size = expected.data.size;
  if (size != actual.data.size) return "has another size";
  if (size == 0 || std::memcmp(expected.data.data, actual.data.data, size) == 0) return "";
  switch (expected.datatype) {
    case DataType::kFp16:
      return difference_of_values<c10::Half>(expected, actual);
    case DataType::kBf16:
      return difference_of_values<c10::BFloat16>(expected, actual);
    case DataType::kFp32:
      return difference_of_values<float>(expected, actual);
    case DataType::kFp64:
      return difference_of_values<double>(expected, actual);
    default:
      return "has other values";
  }
}

}  // namespace

std::string output_difference(const std::vector<serving::Tensor>& expected,
                              const std::vector<serving::Tensor>& actual) {
  if (expected.size() != actual.size()) return concat(actual.size(), " outputs, expected ", expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    const std::string difference = difference_of(expected[i], actual[i]);
    if (!difference.empty()) return concat("output '", expected[i].name, "' ", difference);
  }
  return "";
}

}  // namespace zeta::torch_backend
