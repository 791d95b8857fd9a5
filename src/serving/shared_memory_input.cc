#include "src/serving/shared_memory_input.h"

#include <cstdint>
#include <string>

#include "src/base/concat.h"
#include "src/serving/data_type.h"
#include "src/serving/tensor.h"

namespace zeta::serving {
namespace {

constexpr uint64_t kMaxBytes = INT32_MAX;  // as a message of gRPC

template <class... Parts>
absl::Status invalid(const Parts&... parts) {
  return absl::InvalidArgumentError(concat(parts...));
}

}  // namespace

absl::StatusOr<Buffer> read_input(const SharedMemoryRange& range, const TensorMetadata& input,
                                  std::string_view model) {
  const auto count = element_count(input.shape);
  if (!count.ok()) return invalid("input '", input.name, "': ", std::string(count.status().message()));
  if (input.datatype == DataType::kBytes) {
    if (range.size() <= kMaxBytes) return range.read();
    return invalid("input '", input.name, "' for model '", model, "' is longer than ", kMaxBytes, " bytes");
  }
  const uint64_t expected = static_cast<uint64_t>(*count) * element_size(input.datatype);
  if (range.size() == expected) return range.read();
  return invalid("input byte size mismatch for input '", input.name, "' for model '", model, "'. Expected ",
                 expected, ", got ", range.size());
}

}  // namespace zeta::serving
