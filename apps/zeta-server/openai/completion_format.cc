#include <algorithm>

#include "apps/zeta-server/json.h"
#include "apps/zeta-server/openai/answer_format.h"

namespace zeta::server::openai {
namespace {

json::value nullable(const std::string& text) {
  return text.empty() ? json::value(nullptr) : json::value(text);
}

int64_t characters(std::string_view utf8) {
  return std::ranges::count_if(utf8, [](unsigned char c) { return (c & 0xC0) != 0x80; });
}

// {token: logprob} of the alternatives; null when none were asked for.
json::value alternatives(const json::object& token) {
  const auto* top = token.if_contains("top_logprobs");
  if (top == nullptr || !top->is_array() || top->get_array().empty()) return nullptr;
  json::object map;
  for (const auto& rival : top->get_array()) {
    map.emplace(to_view(rival.at("token").as_string()), rival.at("logprob"));
  }
  return map;
}

// The lists of the older API. `offset` is where in the text the first token begins, in characters; it moves
// on.
json::value describe_logprobs(const json::array& logprobs, int64_t& offset) {
  json::array tokens, values, top, offsets;
  for (const auto& entry : logprobs) {
    const json::object& token = entry.as_object();
    const auto& text = token.at("token").as_string();
    tokens.push_back(token.at("token"));
    values.push_back(token.at("logprob"));
    top.push_back(alternatives(token));
    offsets.push_back(offset);
    offset += characters(to_view(text));
  }
  const bool no_top = std::ranges::all_of(top, [](const json::value& value) { return value.is_null(); });
  return json::object{{"tokens", std::move(tokens)},
                      {"token_logprobs", std::move(values)},
                      {"top_logprobs", no_top ? json::value(nullptr) : json::value(std::move(top))},
                      {"text_offset", std::move(offsets)}};
}

class CompletionFormat final : public AnswerFormat {
 public:
  std::string id_prefix() const override { return "cmpl-"; }
  std::string object() const override { return "text_completion"; }
  std::string chunk_object() const override { return "text_completion"; }

  json::object whole(const Choice& choice, bool logprobs) const override {
    int64_t offset = 0;
    return {{"text", choice.text},
            {"logprobs", logprobs ? describe_logprobs(choice.logprobs, offset) : nullptr},
            {"finish_reason", choice.finish_reason}};
  }

  json::object piece(const TextPiece& piece, bool, bool logprobs) override {
    const bool has_logprobs = logprobs && !piece.logprobs.empty();
    return {{"text", piece.text},
            {"logprobs", has_logprobs ? describe_logprobs(piece.logprobs, offset_) : nullptr},
            {"finish_reason", nullable(piece.finish_reason)}};
  }

 private:
  int64_t offset_ = 0;  // characters told so far
};

}  // namespace

std::unique_ptr<AnswerFormat> make_completion_format() { return std::make_unique<CompletionFormat>(); }

}  // namespace zeta::server::openai
