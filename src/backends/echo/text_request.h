// What a request to a generative model asks for, by the contract of docs/design/foundation.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/serving/backend.h"

namespace zeta::echo {

struct TextRequest {
  std::vector<std::string> words;  // of the prompt, each with the white space before it
  std::vector<int32_t> token_ids;  // of the words: those of `input_ids`, else their positions
  std::optional<int64_t> max_tokens;
  std::vector<std::string> stop;
  std::optional<int64_t> logprobs;
};

// InvalidArgument names the input or parameter at fault.
absl::StatusOr<TextRequest> parse_text_request(const serving::InferRequest& request);

}  // namespace zeta::echo
