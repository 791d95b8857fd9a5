#include "src/serving/tensor.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "src/base/concat.h"
#include "src/serving/data_type.h"

namespace zeta::serving {
namespace {

static_assert(std::endian::native == std::endian::little, "tensors are little-endian in memory");

constexpr int64_t kMaxElements = int64_t{1} << 48;

absl::Status damaged(const Tensor& tensor, std::string_view what) {
  return absl::InvalidArgumentError(concat("BYTES tensor '", tensor.name, "': ", what));
}

}  // namespace

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += concat(i == 0 ? "" : ",", shape[i]);
  return text + "]";
}

absl::StatusOr<int64_t> element_count(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (const int64_t dimension : shape) {
    if (dimension < 0) {
      return absl::InvalidArgumentError(concat("expected dimensions ≥ 0, got shape ", shape_text(shape)));
    }
    if (dimension != 0 && count > kMaxElements / dimension) {
      return absl::InvalidArgumentError(concat("shape ", shape_text(shape), " has too many elements"));
    }
    count *= dimension;
  }
  return count;
}

Buffer make_buffer(std::string bytes) {
  auto owner = std::make_shared<const std::string>(std::move(bytes));
  return {reinterpret_cast<const std::byte*>(owner->data()), owner->size(), owner};
}

Buffer aligned(Buffer buffer, DataType type) {
  const size_t size = std::max<size_t>(element_size(type), 1);
  if (reinterpret_cast<uintptr_t>(buffer.data) % size == 0) return buffer;
  std::shared_ptr<std::byte[]> copy = std::make_unique_for_overwrite<std::byte[]>(buffer.size);
  std::memcpy(copy.get(), buffer.data, buffer.size);
  const std::byte* data = copy.get();
  return {data, buffer.size, std::move(copy)};
}

void append_bytes_element(std::string& data, std::string_view element) {
  const auto length = static_cast<uint32_t>(element.size());
  data.append(reinterpret_cast<const char*>(&length), sizeof length).append(element);
}

Tensor bytes_tensor(std::string name, std::initializer_list<std::string_view> elements) {
  std::string data;
  for (const std::string_view element : elements) append_bytes_element(data, element);
  return {std::move(name),
          DataType::kBytes,
          {static_cast<int64_t>(elements.size())},
          make_buffer(std::move(data))};
}

Tensor int32_tensor(std::string name, std::span<const int32_t> elements) {
  std::string data(reinterpret_cast<const char*>(elements.data()), elements.size_bytes());
  return {std::move(name),
          DataType::kInt32,
          {static_cast<int64_t>(elements.size())},
          make_buffer(std::move(data))};
}

absl::StatusOr<std::vector<std::string_view>> bytes_elements(const Tensor& tensor) {
  const auto expected = element_count(tensor.shape);
  if (!expected.ok()) return expected.status();
  std::string_view rest(reinterpret_cast<const char*>(tensor.data.data), tensor.data.size);
  std::vector<std::string_view> elements;
  while (!rest.empty()) {
    uint32_t length = 0;
    if (rest.size() < sizeof length) return damaged(tensor, "incomplete length at the end");
    std::memcpy(&length, rest.data(), sizeof length);
    rest.remove_prefix(sizeof length);
    if (length > rest.size()) {
      return damaged(tensor, concat("element of ", length, " bytes, but ", rest.size(), " are left"));
    }
    elements.push_back(rest.substr(0, length));
    rest.remove_prefix(length);
  }
  if (static_cast<int64_t>(elements.size()) != *expected) {
    return damaged(tensor, concat("expected ", *expected, " elements for shape ", shape_text(tensor.shape),
                                  ", got ", elements.size()));
  }
  return elements;
}

const Tensor* find_tensor(const std::vector<Tensor>& tensors, std::string_view name) {
  const auto found = std::ranges::find(tensors, name, &Tensor::name);
  return found == tensors.end() ? nullptr : &*found;
}

}  // namespace zeta::serving
