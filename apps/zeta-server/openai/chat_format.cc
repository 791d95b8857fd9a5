#include "apps/zeta-server/json.h"
#include "apps/zeta-server/openai/answer_format.h"

namespace zeta::server::openai {
namespace {

json::value nullable(const std::string& text) {
  return text.empty() ? json::value(nullptr) : json::value(text);
}

json::value describe_logprobs(const json::array& logprobs, bool wanted) {
  if (!wanted) return nullptr;
  return json::object{{"content", logprobs}, {"refusal", nullptr}};
}

class ChatFormat final : public AnswerFormat {
 public:
  std::string id_prefix() const override { return "chatcmpl-"; }
  std::string object() const override { return "chat.completion"; }
  std::string chunk_object() const override { return "chat.completion.chunk"; }

  json::object whole(const Choice& choice, bool logprobs) const override {
    return {{"message", {{"role", "assistant"}, {"content", choice.text}, {"refusal", nullptr}}},
            {"logprobs", describe_logprobs(choice.logprobs, logprobs)},
            {"finish_reason", choice.finish_reason}};
  }

  json::object piece(const TextPiece& piece, bool first, bool logprobs) override {
    json::object delta;
    if (first) delta["role"] = "assistant";
    if (first || !piece.text.empty()) delta["content"] = piece.text;
    return {{"delta", std::move(delta)},
            {"logprobs", describe_logprobs(piece.logprobs, logprobs && !piece.logprobs.empty())},
            {"finish_reason", nullable(piece.finish_reason)}};
  }
};

}  // namespace

std::unique_ptr<AnswerFormat> make_chat_format() { return std::make_unique<ChatFormat>(); }

}  // namespace zeta::server::openai
