#include "src/engine/completion.h"

#include <utility>

namespace zeta::engine {

Completion::Completion(const text::Tokenizer& tokenizer, const SamplingParams& params,
                       std::span<const int32_t> prompt, Limits limits, uint64_t seed)
    : params_(params),
      limits_(limits),
      prompt_tokens_(static_cast<int64_t>(prompt.size())),
      sampler_(params, prompt, seed),
      decoder_(tokenizer),
      stop_(params.stop) {}

absl::StatusOr<int32_t> Completion::step(std::span<const float> logits) {
  Sampled sampled = sampler_.sample(logits);
  const int32_t token = sampled.token;
  ++completion_tokens_;
  pending_.token_ids.push_back(token);
  if (params_.logprobs) pending_.logprobs.push_back(std::move(sampled));
  const bool end = !params_.ignore_eos && limits_.eos_ids->contains(token);
  absl::Status status = end ? finish(FinishReason::kStop) : extend_text(token);
  if (!status.ok()) return status;
  return token;
}

absl::Status Completion::extend_text(int32_t token) {
  auto text = decoder_.push(token);
  if (!text.ok()) return text.status();
  pending_.text += stop_.push(*text);
  if (stop_.matched()) {
    finish_reason_ = FinishReason::kStop;
  } else if (completion_tokens_ >= limits_.max_tokens) {
    return finish(FinishReason::kLength);
  }
  return absl::OkStatus();
}

// The text ends here: what decoder and stop strings held back is shown, unless it completes a stop string.
absl::Status Completion::finish(FinishReason reason) {
  auto rest = decoder_.finish();
  if (!rest.ok()) return rest.status();
  pending_.text += stop_.push(*rest);
  pending_.text += stop_.finish();
  finish_reason_ = stop_.matched() ? FinishReason::kStop : reason;
  return absl::OkStatus();
}

std::optional<Output> Completion::take_output() {
  if (pending_.text.empty() && !finished()) return std::nullopt;
  Output out = std::exchange(pending_, {});
  if (finished()) {
    out.finish_reason = finish_reason_;
    out.prompt_tokens = prompt_tokens_;
    out.completion_tokens = completion_tokens_;
  }
  return out;
}

}  // namespace zeta::engine
