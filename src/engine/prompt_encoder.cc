#include "src/engine/prompt_encoder.h"

#include <fmt/format.h>

#include <utility>

namespace zeta::engine {
namespace {

absl::Status check_ids(const std::vector<int32_t>& ids, int64_t vocab_size) {
  if (ids.empty()) return absl::InvalidArgumentError("the prompt has no tokens; expected at least one");
  for (int32_t id : ids) {
    if (id < 0 || id >= vocab_size) {
      return absl::InvalidArgumentError(
          fmt::format("expected token ids from 0 to {}, got {}", vocab_size - 1, id));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PromptEncoder> PromptEncoder::load(const std::string& folder) {
  PromptEncoder encoder;
  auto tokenizer = text::Tokenizer::load(folder);
  if (!tokenizer.ok()) return tokenizer.status();
  encoder.tokenizer_ = std::move(*tokenizer);
  auto chat_template = text::ChatTemplate::load(folder);
  if (chat_template.ok()) {
    encoder.chat_template_ = std::move(*chat_template);
  } else if (!absl::IsNotFound(chat_template.status())) {
    return chat_template.status();
  }
  return encoder;
}

absl::StatusOr<std::vector<int32_t>> PromptEncoder::tokenize(const std::string& text, bool add_special_tokens,
                                                             int64_t max_tokens) const {
  const size_t max_bytes = static_cast<size_t>(max_tokens) * tokenizer_->longest_token_bytes();
  if (text.size() > max_bytes) {
    return absl::OutOfRangeError(
        fmt::format("expected a prompt of at most {} tokens (the context), which is at most {} bytes, got {} "
                    "bytes",
                    max_tokens, max_bytes, text.size()));
  }
  return tokenizer_->encode(text, add_special_tokens);
}

absl::StatusOr<std::vector<int32_t>> PromptEncoder::encode(const Request& request, int64_t vocab_size,
                                                           int64_t max_tokens) const {
  absl::StatusOr<std::vector<int32_t>> ids;
  if (const auto* tokens = std::get_if<TokenPrompt>(&request.prompt)) {
    ids = tokens->ids;
  } else if (const auto* text = std::get_if<TextPrompt>(&request.prompt)) {
    ids = tokenize(text->text, /*add_special_tokens=*/true, max_tokens);
  } else if (!chat_template_) {
    return absl::InvalidArgumentError(
        "this model has no chat template; send a text prompt, or add chat_template.jinja to its folder");
  } else {
    const auto& chat = std::get<ChatPrompt>(request.prompt);
    auto rendered = chat_template_->render(chat.messages_json, /*add_generation_prompt=*/true);
    if (!rendered.ok()) return rendered.status();
    ids = tokenize(*rendered, /*add_special_tokens=*/false, max_tokens);
  }
  if (!ids.ok()) return ids.status();
  if (absl::Status status = check_ids(*ids, vocab_size); !status.ok()) return status;
  return ids;
}

}  // namespace zeta::engine
