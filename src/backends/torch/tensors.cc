#include "src/backends/torch/tensors.h"

#include <ATen/Functions.h>

#include <cstring>
#include <memory>
#include <utility>

#include "src/base/concat.h"
#include "src/serving/data_type.h"
#include "src/serving/tensor.h"

namespace zeta::torch_backend {
namespace {

using serving::DataType;

constexpr std::pair<DataType, at::ScalarType> kTypes[] = {
    {DataType::kBool, at::kBool},     {DataType::kUint8, at::kByte},    {DataType::kUint16, at::kUInt16},
    {DataType::kUint32, at::kUInt32}, {DataType::kUint64, at::kUInt64}, {DataType::kInt8, at::kChar},
    {DataType::kInt16, at::kShort},   {DataType::kInt32, at::kInt},     {DataType::kInt64, at::kLong},
    {DataType::kFp16, at::kHalf},     {DataType::kBf16, at::kBFloat16}, {DataType::kFp32, at::kFloat},
    {DataType::kFp64, at::kDouble},
};

bool is_aligned(const serving::Buffer& piece, size_t element) {
  return reinterpret_cast<uintptr_t>(piece.data) % element == 0;
}

at::Tensor in_place(const serving::Buffer& piece, const std::vector<int64_t>& shape, at::ScalarType type) {
  auto* data = const_cast<std::byte*>(piece.data);  // torch knows no read-only memory
  return at::from_blob(
      data, shape, [owner = piece.owner](void*) {}, at::TensorOptions(type));
}

at::Tensor gathered(const serving::BatchInput& input, at::ScalarType type, bool pinned) {
  at::Tensor host = at::empty(input.shape, at::TensorOptions(type).pinned_memory(pinned));
  auto* target = static_cast<std::byte*>(host.mutable_data_ptr());
  for (const serving::Buffer& piece : input.pieces) {
    if (piece.size != 0) std::memcpy(target, piece.data, piece.size);
    target += piece.size;
  }
  return host;
}

// Memory without an owner of its own belongs to a compiled package; other storage is a model's, or a constant
// of its code, when a second tensor holds it.
bool is_kept_elsewhere(const at::Tensor& tensor) {
  const c10::Storage& storage = tensor.storage();
  return storage.nbytes() != 0 && (storage.data_ptr().get_context() == nullptr || storage.use_count() > 1);
}

at::Tensor fetched(const at::Tensor& tensor, bool non_blocking) {
  at::Tensor host = at::empty(tensor.sizes(), tensor.options().device(at::kCPU).pinned_memory(true));
  return host.copy_(tensor.contiguous(), non_blocking);
}

}  // namespace

std::optional<at::ScalarType> to_scalar_type(DataType type) {
  for (const auto& [ours, theirs] : kTypes) {
    if (ours == type) return theirs;
  }
  return std::nullopt;
}

std::optional<DataType> to_data_type(at::ScalarType type) {
  for (const auto& [ours, theirs] : kTypes) {
    if (theirs == type) return ours;
  }
  return std::nullopt;
}

absl::StatusOr<at::Tensor> to_host(const serving::BatchInput& input, bool pinned) {
  const auto type = to_scalar_type(input.datatype);
  const auto elements = serving::element_count(input.shape);
  if (!type || !elements.ok()) {
    return absl::InvalidArgumentError(concat("input '", input.name, "' of type ",
                                             serving::data_type_name(input.datatype), " and shape ",
                                             serving::shape_text(input.shape), " is no tensor of torch's"));
  }
  const size_t element = serving::element_size(input.datatype);
  size_t size = 0;
  for (const serving::Buffer& piece : input.pieces) size += piece.size;
  if (size != static_cast<size_t>(*elements) * element) {
    return absl::InvalidArgumentError(concat("input '", input.name, "' has ", size, " bytes, expected ",
                                             static_cast<size_t>(*elements) * element, " for shape ",
                                             serving::shape_text(input.shape)));
  }
  const bool usable = !pinned && input.pieces.size() == 1 && size != 0;
  if (usable && is_aligned(input.pieces[0], element)) return in_place(input.pieces[0], input.shape, *type);
  return gathered(input, *type, pinned);
}

absl::StatusOr<c10::IValue> to_value(const serving::BatchInput& input, const at::Device& device) {
  if (input.datatype == DataType::kBytes) {
    const auto strings = to_strings(input);
    if (!strings.ok()) return strings.status();
    return c10::IValue(c10::List<std::string>(c10::ArrayRef<std::string>(*strings)));
  }
  auto host = to_host(input, device.is_cuda());
  if (!host.ok()) return host.status();
  if (device.is_cuda()) return c10::IValue(host->to(device, /*non_blocking=*/true));
  return c10::IValue(*std::move(host));
}

absl::StatusOr<std::vector<std::string>> to_strings(const serving::BatchInput& input) {
  std::vector<std::string> strings;
  for (const serving::Buffer& piece : input.pieces) {
    std::string_view rest(reinterpret_cast<const char*>(piece.data), piece.size);
    while (!rest.empty()) {
      uint32_t length = 0;
      if (rest.size() < sizeof length) break;
      std::memcpy(&length, rest.data(), sizeof length);
      rest.remove_prefix(sizeof length);
      if (length > rest.size()) break;
      strings.emplace_back(rest.substr(0, length));
      rest.remove_prefix(length);
    }
    if (!rest.empty()) {
      return absl::InvalidArgumentError(concat("input '", input.name, "' is damaged: an incomplete element"));
    }
  }
  return strings;
}

absl::StatusOr<serving::Tensor> from_tensor(const std::string& name, const at::Tensor& tensor,
                                            bool non_blocking) {
  const auto type = to_data_type(tensor.scalar_type());
  if (!type) {
    return absl::InternalError(concat("output '", name, "' has torch's type ",
                                      c10::toString(tensor.scalar_type()), ", which has no name in KServe"));
  }
  at::Tensor host;
  if (tensor.is_cuda()) {
    host = fetched(tensor, non_blocking);
  } else {
    const bool kept = is_kept_elsewhere(tensor);
    host = tensor.detach().to(at::kCPU).contiguous();
    if (kept && host.is_alias_of(tensor)) host = host.clone();
  }
  auto dense = std::make_shared<const at::Tensor>(std::move(host));
  serving::Buffer data;
  data.data = static_cast<const std::byte*>(dense->const_data_ptr());
  data.size = dense->nbytes();
  std::vector<int64_t> shape = dense->sizes().vec();
  data.owner = std::move(dense);
  return serving::Tensor{name, *type, std::move(shape), std::move(data)};
}

serving::Tensor from_strings(const std::string& name, const std::vector<std::string>& strings, size_t rank) {
  std::string data;
  for (const std::string& text : strings) serving::append_bytes_element(data, text);
  std::vector<int64_t> shape{static_cast<int64_t>(strings.size())};
  if (rank > 1) shape.resize(rank, 1);
  return {name, DataType::kBytes, std::move(shape), serving::make_buffer(std::move(data))};
}

absl::Status check_type(const serving::TensorMetadata& expected, const serving::Tensor& tensor) {
  if (expected.datatype == tensor.datatype) return absl::OkStatus();
  return absl::InternalError(concat("unexpected datatype ", serving::data_type_name(tensor.datatype),
                                    " for inference output '", tensor.name, "', expecting ",
                                    serving::data_type_name(expected.datatype)));
}

}  // namespace zeta::torch_backend
