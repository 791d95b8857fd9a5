// From the engine's output to an inference response (docs/design/foundation.md, "Generative models").
#pragma once

#include <string>
#include <vector>

#include "src/engine/request.h"
#include "src/serving/backend.h"
#include "src/text/tokenizer.h"

namespace zeta::generative {

struct ResponseFormat {
  bool logprobs;
  std::vector<std::string> requested_outputs;  // empty: all
};

serving::InferResponse write_response(engine::Output output, const ResponseFormat& format,
                                      const text::Tokenizer& tokenizer);

// A JSON array with one object a token, in the form of OpenAI's chat completions: token, bytes (null when the
// token is only part of a character), logprob, top_logprobs; and id, the token's number.
std::string logprobs_json(const std::vector<engine::Sampled>& tokens, const text::Tokenizer& tokenizer);

}  // namespace zeta::generative
