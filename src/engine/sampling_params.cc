#include "src/engine/sampling_params.h"

#include <fmt/format.h>

#include <cmath>

namespace zeta::engine {
namespace {

template <typename T>
absl::Status in_range(const char* name, T value, T min, T max) {
  if (value >= min && value <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(fmt::format("expected {} from {} to {}, got {}", name, min, max, value));
}

absl::Status validate_stop(const std::vector<std::string>& stop) {
  if (stop.size() > kMaxStopStrings) {
    return absl::InvalidArgumentError(
        fmt::format("expected at most {} stop strings, got {}", kMaxStopStrings, stop.size()));
  }
  for (const std::string& text : stop) {
    if (text.empty() || text.size() > kMaxStopBytes) {
      return absl::InvalidArgumentError(
          fmt::format("expected stop strings of 1 to {} bytes, got {}", kMaxStopBytes, text.size()));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status validate(const SamplingParams& params) {
  constexpr int64_t kAnyCount = int64_t{1} << 40;
  absl::Status status;
  status.Update(in_range<int64_t>("max_tokens", params.max_tokens.value_or(1), 1, kAnyCount));
  status.Update(in_range("temperature", params.temperature, 0.0, 100.0));
  status.Update(in_range<int64_t>("top_k", params.top_k, 0, kAnyCount));
  status.Update(in_range("top_p", params.top_p, 0.0, 1.0));
  status.Update(in_range("min_p", params.min_p, 0.0, 1.0));
  status.Update(in_range("repetition_penalty", params.repetition_penalty, 0.01, 100.0));
  status.Update(in_range("presence_penalty", params.presence_penalty, -2.0, 2.0));
  status.Update(in_range("frequency_penalty", params.frequency_penalty, -2.0, 2.0));
  status.Update(in_range<int64_t>("logprobs", params.logprobs.value_or(0), 0, kMaxLogprobs));
  status.Update(validate_stop(params.stop));
  return status;
}

}  // namespace zeta::engine
