// How the tokens of one completion are chosen.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace zeta::engine {

struct SamplingParams {
  std::optional<int64_t> max_tokens;  // ≥ 1; absent: as many as the context holds
  double temperature = 1.0;           // 0: the most likely token
  int64_t top_k = 0;                  // 0: all tokens
  double top_p = 1.0;
  double min_p = 0.0;
  double repetition_penalty = 1.0;  // 1: none
  double presence_penalty = 0.0;
  double frequency_penalty = 0.0;
  std::optional<uint64_t> seed;  // absent: a different one each time
  bool ignore_eos = false;
  std::vector<std::string> stop;    // the completion ends before the first of these
  std::optional<int64_t> logprobs;  // how many alternatives to report beside each token's own
};

// The limits above which a request is refused rather than served slowly.
inline constexpr int64_t kMaxLogprobs = 20;
inline constexpr size_t kMaxStopStrings = 16;
inline constexpr size_t kMaxStopBytes = 1024;

// InvalidArgument that names the parameter, its value and its range.
absl::Status validate(const SamplingParams& params);

}  // namespace zeta::engine
