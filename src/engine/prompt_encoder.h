// From a request's prompt to token ids.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/engine/request.h"
#include "src/text/tokenizer.h"

namespace zeta::engine {

// Immutable and thread-safe.
class PromptEncoder {
 public:
  // Reads tokenizer and, where there is one, chat template from a Hugging Face folder.
  static absl::StatusOr<PromptEncoder> load(const std::string& folder);

  const text::Tokenizer& tokenizer() const { return *tokenizer_; }

  // InvalidArgument when the prompt is empty, an id is not from 0 to vocab_size − 1, or a chat comes to a
  // model without a template. OutOfRange when the text is longer than `max_tokens` tokens can be: such a text
  // is not tokenized, which would take time and memory in proportion to it.
  absl::StatusOr<std::vector<int32_t>> encode(const Request& request, int64_t vocab_size,
                                              int64_t max_tokens) const;

 private:
  absl::StatusOr<std::vector<int32_t>> tokenize(const std::string& text, bool add_special_tokens,
                                                int64_t max_tokens) const;

  std::unique_ptr<text::Tokenizer> tokenizer_;
  std::unique_ptr<text::ChatTemplate> chat_template_;  // may be null
};

}  // namespace zeta::engine
