#include "src/serving/scheduling/batch_input_rules.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <string>

#include "src/serving/tensor.h"

namespace zeta::serving {
namespace {

using Shapes = std::vector<std::vector<int64_t>>;
using Kind = BatchInputRule::Kind;

int64_t product(const std::vector<int64_t>& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

std::vector<int64_t> counts_of(const Shapes& sources) {
  std::vector<int64_t> counts;
  for (const auto& shape : sources) counts.push_back(product(shape));
  return counts;
}

std::vector<int64_t> item_shapes(const Shapes& sources) {
  std::vector<int64_t> values;
  for (const auto& shape : sources) {
    const int64_t items = shape.empty() ? 0 : shape.front();
    for (int64_t i = 0; i < items; ++i) values.insert(values.end(), shape.begin() + 1, shape.end());
  }
  return values;
}

template <class T>
Buffer to_buffer(const std::vector<int64_t>& values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  for (size_t i = 0; i < values.size(); ++i) {
    const T value = static_cast<T>(values[i]);
    std::copy_n(reinterpret_cast<const char*>(&value), sizeof value, bytes.data() + i * sizeof value);
  }
  return make_buffer(std::move(bytes));
}

}  // namespace

BatchInput make_batch_input(const BatchInputRule& rule, const Shapes& sources) {
  std::vector<int64_t> values = counts_of(sources);
  std::vector<int64_t> shape;
  switch (rule.kind) {
    case Kind::kElementCount:
      break;
    case Kind::kAccumulatedElementCountWithZero:
      values.insert(values.begin(), 0);
      [[fallthrough]];
    case Kind::kAccumulatedElementCount:
      std::partial_sum(values.begin(), values.end(), values.begin());
      break;
    case Kind::kMaxElementCountAsShape:
      shape = {values.empty() ? 0 : std::ranges::max(values)};
      values.assign(static_cast<size_t>(shape[0]), 0);
      break;
    case Kind::kItemShape: {
      values = item_shapes(sources);
      const auto rank = static_cast<int64_t>(sources.empty() ? 0 : sources.front().size()) - 1;
      shape = {rank > 0 ? static_cast<int64_t>(values.size()) / rank : 0, std::max<int64_t>(rank, 0)};
      break;
    }
    case Kind::kItemShapeFlatten:
      values = item_shapes(sources);
      break;
  }
  if (shape.empty()) shape = {static_cast<int64_t>(values.size())};
  Buffer data = rule.datatype == DataType::kInt32 ? to_buffer<int32_t>(values) : to_buffer<float>(values);
  return {rule.target, rule.datatype, std::move(shape), {std::move(data)}};
}

}  // namespace zeta::serving
