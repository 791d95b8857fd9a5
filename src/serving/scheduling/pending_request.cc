#include "src/serving/scheduling/pending_request.h"

#include <charconv>

#include "src/base/concat.h"

namespace zeta::serving {

absl::StatusOr<int64_t> batch_size_of(const InferRequest& request, const std::string& model,
                                      int64_t max_batch_size) {
  if (max_batch_size == 0) return 1;
  int64_t size = 0;
  const Tensor* first = nullptr;
  for (const Tensor& input : request.inputs) {
    const int64_t items = input.shape.empty() ? 0 : input.shape.front();
    if (first == nullptr) {
      first = &input;
      size = items;
    } else if (items != size) {
      return absl::InvalidArgumentError(concat("input '", input.name, "' batch size does not match other ",
                                               "inputs for '", model, "': got ", items, ", but '",
                                               first->name, "' has ", size));
    }
  }
  if (first == nullptr) return 1;
  if (size < 1) return absl::InvalidArgumentError(concat("expected a batch of at least 1 for '", model, "'"));
  if (size > max_batch_size) {
    return absl::InvalidArgumentError(
        concat("inference request batch-size must be <= ", max_batch_size, " for '", model, "', got ", size));
  }
  return size;
}

absl::StatusOr<uint64_t> unsigned_parameter(const InferRequest& request, const std::string& name) {
  const auto found = request.parameters.find(name);
  if (found == request.parameters.end()) return 0;
  if (const auto* number = std::get_if<int64_t>(&found->second); number != nullptr && *number >= 0) {
    return static_cast<uint64_t>(*number);
  }
  if (const auto* text = std::get_if<std::string>(&found->second)) {
    uint64_t value = 0;
    const char* const last = text->data() + text->size();
    const auto [end, error] = std::from_chars(text->data(), last, value);
    if (error == std::errc() && end == last && !text->empty()) return value;
  }
  return absl::InvalidArgumentError(concat("parameter '", name, "' must be a non-negative integer"));
}

}  // namespace zeta::serving
