// The growing answer of one sequence: from logits to tokens to text.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "src/engine/request.h"
#include "src/engine/sampler.h"
#include "src/engine/stop_strings.h"
#include "src/text/tokenizer.h"

namespace zeta::engine {

// Not thread-safe: one per sequence.
class Completion {
 public:
  struct Limits {
    int64_t max_tokens;                // ≥ 1
    const std::set<int32_t>* eos_ids;  // outlives this
  };
  // `tokenizer` outlives this. `seed` is used where params has none.
  Completion(const text::Tokenizer& tokenizer, const SamplingParams& params, std::span<const int32_t> prompt,
             Limits limits, uint64_t seed);

  // Chooses the next token from the logits (vocab) of the last.
  absl::StatusOr<int32_t> step(std::span<const float> logits);
  int64_t completion_tokens() const { return completion_tokens_; }
  bool finished() const { return finish_reason_.has_value(); }
  // What may be shown since the last call; nothing while no text has come, unless finished.
  std::optional<Output> take_output();

 private:
  absl::Status extend_text(int32_t token);
  absl::Status finish(FinishReason reason);

  SamplingParams params_;
  Limits limits_;
  int64_t prompt_tokens_;
  Sampler sampler_;
  text::IncrementalDecoder decoder_;
  StopStrings stop_;
  Output pending_;
  int64_t completion_tokens_ = 0;
  std::optional<FinishReason> finish_reason_;
};

}  // namespace zeta::engine
