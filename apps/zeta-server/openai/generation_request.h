// What a request to /v1/completions or /v1/chat/completions asks for.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "src/serving/backend.h"

namespace zeta::server::openai {

struct GenerationRequest {
  std::string model;
  // One for each prompt: text_input, messages or input_ids of the generative contract.
  std::vector<serving::Tensor> prompts;
  std::vector<std::string> echoes;  // what goes before each prompt's answer; empty: nothing
  serving::Parameters parameters;   // of the generative contract, but for the seed
  std::optional<int64_t> seed;      // answer k of a prompt gets seed + k
  int64_t n = 1;                    // answers for each prompt
  bool stream = false;
  bool include_usage = false;
  std::optional<int64_t> logprobs;  // how many alternatives to tell for each token

  size_t choices() const { return prompts.size() * static_cast<size_t>(n); }
};

inline constexpr size_t kMaxChoices = 128;

}  // namespace zeta::server::openai
