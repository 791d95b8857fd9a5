// What the engine is asked, and what it answers.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "src/engine/sampler.h"
#include "src/engine/sampling_params.h"

namespace zeta::engine {

struct TextPrompt {
  std::string text;  // UTF-8; encoded with the tokenizer's special tokens
};
struct ChatPrompt {
  std::string messages_json;  // rendered with the model's chat template, which brings its own special tokens
};
struct TokenPrompt {
  std::vector<int32_t> ids;
};

struct Request {
  std::variant<TextPrompt, ChatPrompt, TokenPrompt> prompt;
  SamplingParams sampling;
  std::function<bool()> cancelled = [] { return false; };  // thread-safe; polled at every step
};

enum class FinishReason {
  kStop,   // an end-of-sequence token or a stop string
  kLength  // max_tokens or the context's end
};

// A piece of the answer. After one with `finish_reason`, or with a status that is not OK, none follows.
struct Output {
  absl::Status status;
  std::string text;                // whole UTF-8 characters; never part of a stop string
  std::vector<int32_t> token_ids;  // since the last piece, an end-of-sequence token included
  std::vector<Sampled> logprobs;   // one a token when asked for
  std::optional<FinishReason> finish_reason;
  int64_t prompt_tokens = 0, completion_tokens = 0;  // set in the last piece
};

// Called from the engine's threads, one call after another; must return quickly.
using OutputCallback = std::function<void(Output)>;

}  // namespace zeta::engine
