// Tokenizer and chat template of a Hugging Face model folder, over the Rust crate `zeta_text`.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace zeta::text {

// Immutable once loaded; every method may be called from several threads at once.
class Tokenizer {
 public:
  // Reads `folder`/tokenizer.json. NotFound without the file, InvalidArgument when it is no tokenizer.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> load(const std::string& folder);
  ~Tokenizer();

  // `text` is UTF-8, else InvalidArgument. With `add_special_tokens` the tokenizer's post-processor adds what
  // it was trained with (BOS …).
  absl::StatusOr<std::vector<int32_t>> encode(std::string_view text, bool add_special_tokens) const;
  // Ids that name no token give no text; negative ones are InvalidArgument.
  absl::StatusOr<std::string> decode(const std::vector<int32_t>& ids, bool skip_special_tokens) const;
  // Tokens, added ones included.
  int32_t vocab_size() const;
  // No token stands for more bytes of text, so that n tokens hold at most n times as many.
  size_t longest_token_bytes() const;

 private:
  struct Impl;
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Turns a stream of token ids into a stream of valid UTF-8, holding back bytes of an unfinished character.
// With a byte-level tokenizer the pieces join to what `decode` gives for all ids at once, but for a space
// that `decode` strips at the very start. A push looks at the last few tokens only, however long the
// sequence. Not thread-safe: one per sequence; `tokenizer` must outlive it.
class IncrementalDecoder {
 public:
  explicit IncrementalDecoder(const Tokenizer& tokenizer, bool skip_special_tokens = true);
  // The text that `id` completes; may be empty. A refused id (negative) leaves the stream as it was.
  absl::StatusOr<std::string> push(int32_t id);
  // What is still held back, with U+FFFD for bytes that never became a character. Ready for a new sequence
  // then.
  absl::StatusOr<std::string> finish();

 private:
  absl::StatusOr<std::string> decode_window();
  absl::StatusOr<bool> is_without_text(const std::string& text) const;
  absl::Status keep_as_context();
  absl::StatusOr<std::string> shrink_window();

  const Tokenizer& tokenizer_;
  bool skip_special_tokens_;
  std::vector<int32_t> window_;  // tokens given out last, as context, then those not yet given out whole
  size_t context_size_ = 0;
  std::string text_;       // of the window
  size_t shown_size_ = 0;  // how much of `text_` was given out
};

// A Jinja chat template as transformers' `apply_chat_template` renders it. Immutable once loaded; every
// method may be called from several threads at once.
class ChatTemplate {
 public:
  // From `folder`/chat_template.jinja or tokenizer_config.json's "chat_template" (a string, or a list of
  // named templates of which "default" is taken); NotFound when there is none, InvalidArgument when it does
  // not parse. Special tokens of tokenizer_config.json (bos_token …) are its variables.
  static absl::StatusOr<std::unique_ptr<ChatTemplate>> load(const std::string& folder);
  ~ChatTemplate();
  // `messages_json`: a JSON array of {role, content}. Invalid input, and what the template itself raises, is
  // InvalidArgument; a template that would run on or grow without end is ResourceExhausted.
  absl::StatusOr<std::string> render(std::string_view messages_json, bool add_generation_prompt) const;

 private:
  struct Impl;
  explicit ChatTemplate(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace zeta::text
