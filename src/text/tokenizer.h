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
  // Reads `folder`/tokenizer.json.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> load(const std::string& folder);
  ~Tokenizer();

  // `text` is UTF-8. With `add_special_tokens` the tokenizer's post-processor adds what it was trained with
  // (BOS …).
  absl::StatusOr<std::vector<int32_t>> encode(std::string_view text, bool add_special_tokens) const;
  absl::StatusOr<std::string> decode(const std::vector<int32_t>& ids, bool skip_special_tokens) const;
  int32_t vocab_size() const;

 private:
  struct Impl;
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Turns a stream of token ids into a stream of valid UTF-8, holding back bytes of an unfinished character.
// Not thread-safe: one per sequence.
class IncrementalDecoder {
 public:
  explicit IncrementalDecoder(const Tokenizer& tokenizer, bool skip_special_tokens = true);
  // The text that `id` completes; may be empty.
  absl::StatusOr<std::string> push(int32_t id);
  // What is still held back, with U+FFFD for bytes that never became a character.
  absl::StatusOr<std::string> finish();

 private:
  const Tokenizer& tokenizer_;
  bool skip_special_tokens_;
  std::vector<int32_t> ids_;
  size_t prefix_begin_ = 0, read_end_ = 0;  // indices into ids_
};

// A Jinja chat template as transformers' `apply_chat_template` renders it.
class ChatTemplate {
 public:
  // From `folder`/chat_template.jinja or tokenizer_config.json's "chat_template"; NotFound when there is
  // none.
  static absl::StatusOr<std::unique_ptr<ChatTemplate>> load(const std::string& folder);
  ~ChatTemplate();
  // `messages_json`: a JSON array of {role, content}. Invalid input is InvalidArgument.
  absl::StatusOr<std::string> render(std::string_view messages_json, bool add_generation_prompt) const;

 private:
  struct Impl;
  explicit ChatTemplate(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace zeta::text
