#include "src/serving/model_config/warmup.h"

#include <algorithm>
#include <random>
#include <utility>

#include "src/base/concat.h"
#include "src/serving/data_type.h"
#include "src/serving/model_config/model_files.h"
#include "src/serving/model_config/tensor_types.h"
#include "src/serving/tensor.h"

namespace zeta::serving {
namespace {

// Any bits of a whole number, or of a float in [0, 1).
std::string random_bytes(DataType type, int64_t count) {
  std::mt19937 generator(0);
  std::string bytes;
  if (type == DataType::kFp32) {
    std::uniform_real_distribution<float> unit;
    for (int64_t i = 0; i < count; ++i) {
      const float value = unit(generator);
      bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
    }
  } else if (type == DataType::kFp64) {
    std::uniform_real_distribution<double> unit;
    for (int64_t i = 0; i < count; ++i) {
      const double value = unit(generator);
      bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
    }
  } else {
    // A half's highest exponents are left out, so that none is an infinity; a bool is 0 or 1.
    const unsigned mask = type == DataType::kBool                              ? 1
                          : type == DataType::kFp16 || type == DataType::kBf16 ? 0x3f
                                                                               : 0xff;
    const auto size = static_cast<size_t>(count) * element_size(type);
    for (size_t i = 0; i < size; ++i) bytes.push_back(static_cast<char>(generator() & mask));
  }
  return bytes;
}

// What `proto` says to fill `tensor` with.
absl::StatusOr<std::string> warmup_data(const inference::ModelWarmup::Input& proto, const Tensor& tensor,
                                        int64_t count, const std::string& folder) {
  // Of BYTES an element is a length of 4 bytes, here 0.
  const size_t element = tensor.datatype == DataType::kBytes ? 4 : element_size(tensor.datatype);
  switch (proto.input_data_type_case()) {
    case inference::ModelWarmup::Input::kInputDataFile:
      return read_model_file(folder + "/warmup", proto.input_data_file());
    case inference::ModelWarmup::Input::kRandomData:
      if (tensor.datatype != DataType::kBytes) return random_bytes(tensor.datatype, count);
      return std::string(static_cast<size_t>(count) * element, '\0');
    case inference::ModelWarmup::Input::kZeroData:
      return std::string(static_cast<size_t>(count) * element, '\0');
    default:
      return absl::InvalidArgumentError("must have input data type set");
  }
}

absl::StatusOr<Tensor> to_tensor(const std::string& which, const std::string& name,
                                 const inference::ModelWarmup::Input& proto, const std::string& folder) {
  constexpr int64_t kMaxElements = int64_t{1} << 28;
  const auto wrong = [&](const auto&... parts) {
    return absl::InvalidArgumentError(concat(which, parts...));
  };
  if (proto.data_type() == inference::TYPE_INVALID) return wrong(" must specify 'data_type'");
  Tensor tensor{name, to_data_type(proto.data_type()), {proto.dims().begin(), proto.dims().end()}, {}};
  const auto count = element_count(tensor.shape);
  if (!count.ok()) return wrong(": ", std::string(count.status().message()));
  if (*count > kMaxElements) return wrong(" has ", *count, " elements, expected at most ", kMaxElements);
  auto bytes = warmup_data(proto, tensor, *count, folder);
  if (!bytes.ok())
    return absl::Status(bytes.status().code(), concat(which, " ", std::string(bytes.status().message())));
  tensor.data = make_buffer(*std::move(bytes));
  const bool fits = tensor.datatype == DataType::kBytes
                        ? bytes_elements(tensor).ok()
                        : tensor.data.size == static_cast<size_t>(*count) * element_size(tensor.datatype);
  if (fits) return tensor;
  return wrong(": the file's ", tensor.data.size, " bytes do not make ", data_type_name(tensor.datatype),
               shape_text(tensor.shape));
}

}  // namespace

absl::StatusOr<Warmup> to_warmup(const inference::ModelConfig& config, const inference::ModelWarmup& proto,
                                 const std::string& folder) {
  Warmup warmup;
  warmup.name = proto.name();
  warmup.batch_size = std::max<uint32_t>(proto.batch_size(), 1);
  warmup.count = std::max<uint32_t>(proto.count(), 1);
  for (const auto& [name, input] : proto.inputs()) {
    auto tensor =
        to_tensor(concat("warm-up '", proto.name(), "' of model '", config.name(), "', input '", name, "'"),
                  name, input, folder);
    if (!tensor.ok()) return tensor.status();
    warmup.inputs.push_back(*std::move(tensor));
  }
  return warmup;
}

}  // namespace zeta::serving
