// A generative model's response, taken apart.
#pragma once

#include <boost/json/array.hpp>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "src/serving/backend.h"

namespace zeta::server::openai {

struct TextPiece {
  std::string text;
  size_t tokens = 0;
  boost::json::array logprobs;  // one {token, logprob, bytes, top_logprobs} for each token, if asked for
  // Of the final piece:
  std::string finish_reason;
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;
};

// Internal when the response does not keep to the contract for generative models.
absl::StatusOr<TextPiece> read_text_piece(const serving::InferResponse& response);

// Whether the model keeps to that contract, by its inputs and outputs.
bool is_generative(const serving::ModelMetadata& model);

}  // namespace zeta::server::openai
