#include "src/nn/weight_loader.h"

#include <ATen/ATen.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <fmt/format.h>

#include <cmath>
#include <cstring>

#include "src/nn/model_error.h"

namespace zeta::nn {
namespace {

std::string list(const std::vector<int64_t>& shape) {
  std::string text;
  for (int64_t extent : shape) text += fmt::format("{}{}", text.empty() ? "" : ", ", extent);
  return "[" + text + "]";
}

[[noreturn]] void fail_stored(const TensorBytes& stored, const std::string& problem) {
  throw ModelError(fmt::format("{}: tensor '{}' ({} {}): {}", stored.path, stored.name,
                               stored_type_name(stored.type), list(stored.shape), problem));
}

void require_shape(const TensorBytes& stored, const std::vector<int64_t>& shape) {
  if (stored.shape != shape) fail_stored(stored, fmt::format("expected shape {}", list(shape)));
}

void require_floating(const TensorBytes& stored) {
  if (stored.type != StoredType::kF32 && stored.type != StoredType::kBF16 &&
      stored.type != StoredType::kF16) {
    fail_stored(stored, "expected F32, BF16 or F16; is it packed without quantization_config saying so?");
  }
}

}  // namespace

at::ScalarType scalar_type_of(const TensorBytes& stored) {
  switch (stored.type) {
    case StoredType::kBool:
      return at::kBool;
    case StoredType::kU8:
      return at::kByte;
    case StoredType::kI8:
      return at::kChar;
    case StoredType::kI16:
      return at::kShort;
    case StoredType::kI32:
      return at::kInt;
    case StoredType::kI64:
      return at::kLong;
    case StoredType::kF16:
      return at::kHalf;
    case StoredType::kBF16:
      return at::kBFloat16;
    case StoredType::kF32:
      return at::kFloat;
    case StoredType::kF64:
      return at::kDouble;
    case StoredType::kF8E4M3:
      return at::kFloat8_e4m3fn;
    default:
      fail_stored(stored, "dtype not supported");
  }
}

at::Tensor WeightLoader::alias(const TensorBytes& stored) {
  const auto options = at::TensorOptions().dtype(scalar_type_of(stored));
  const bool aligned = reinterpret_cast<uintptr_t>(stored.bytes.data()) % stored_type_size(stored.type) == 0;
  if (aligned) {
    return at::from_blob(
        stored.bytes.data(), stored.shape, [owner = stored.owner](void*) {}, options);
  }
  at::Tensor copy = at::empty(stored.shape, options);
  std::memcpy(copy.mutable_data_ptr(), stored.bytes.data(), stored.bytes.size());
  copied_bytes_ += stored.bytes.size();
  return copy;
}

at::Tensor WeightLoader::floating_as_stored(const std::string& name, const std::vector<int64_t>& shape) {
  const TensorBytes stored = store_.take(name);
  require_floating(stored);
  require_shape(stored, shape);
  return alias(stored);
}

at::Tensor WeightLoader::converted(const at::Tensor& tensor, at::ScalarType dtype) {
  if (tensor.scalar_type() == dtype) return tensor;
  at::Tensor out = tensor.to(dtype);
  copied_bytes_ += out.nbytes();
  return out;
}

at::Tensor WeightLoader::floating(const std::string& name, const std::vector<int64_t>& shape) {
  return converted(floating_as_stored(name, shape), dtype_);
}

at::Tensor WeightLoader::scales(const std::string& name, const std::vector<int64_t>& shape) {
  const at::Tensor stored = floating_as_stored(name, shape);
  const at::Tensor wide = stored.to(at::kFloat);
  const at::Tensor wrong = wide.isfinite().logical_not_().logical_or_(wide.eq(0)).flatten().nonzero();
  if (wrong.numel() > 0) {
    const auto index = wrong[0].item<int64_t>();
    fail(name, fmt::format("expected finite scales other than 0, got {} at element {}",
                           wide.flatten()[index].item<float>(), index));
  }
  return stored.scalar_type() == at::kHalf ? converted(stored, at::kFloat) : stored;
}

at::Tensor WeightLoader::exact(const std::string& name, const std::vector<int64_t>& shape, StoredType type) {
  const TensorBytes stored = store_.take(name);
  if (stored.type != type) fail_stored(stored, fmt::format("expected {}", stored_type_name(type)));
  require_shape(stored, shape);
  return alias(stored);
}

std::vector<int64_t> WeightLoader::integers(const std::string& name, int64_t length) {
  const TensorBytes stored = store_.take(name);
  if (stored.type != StoredType::kI64 && stored.type != StoredType::kI32) {
    fail_stored(stored, "expected I64 or I32");
  }
  require_shape(stored, {length});
  const at::Tensor wide = alias(stored).to(at::kLong);
  return {wide.const_data_ptr<int64_t>(), wide.const_data_ptr<int64_t>() + length};
}

double WeightLoader::positive_scalar(const std::string& name) {
  const TensorBytes stored = store_.take(name);
  require_floating(stored);
  const at::Tensor tensor = alias(stored);
  if (tensor.numel() != 1) fail_stored(stored, "expected one element");
  const double value = tensor.to(at::kDouble).const_data_ptr<double>()[0];
  if (!std::isfinite(value) || value <= 0.0)
    fail_stored(stored, fmt::format("expected a positive number, got {}", value));
  return value;
}

void WeightLoader::fail(const std::string& name, const std::string& problem) const {
  throw ModelError(fmt::format("{}: tensor '{}': {}", store_.folder(), name, problem));
}

}  // namespace zeta::nn
