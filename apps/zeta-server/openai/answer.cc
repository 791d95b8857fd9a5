#include "apps/zeta-server/openai/answer.h"

#include <boost/json/array.hpp>
#include <chrono>
#include <utility>

#include "apps/zeta-server/json.h"
#include "apps/zeta-server/openai/error.h"

namespace zeta::server::openai {

Answer::Answer(GenerationRequest request, MakeFormat make_format, GenerationMetrics::Model metrics,
               std::string id)
    : request_(std::move(request)),
      request_id_(std::move(id)),
      created_(std::chrono::duration_cast<std::chrono::seconds>(
                   std::chrono::system_clock::now().time_since_epoch())
                   .count()) {
  const auto now = ChoiceTimer::Clock::now();
  for (size_t i = 0; i < request_.choices(); ++i) {
    choices_.push_back({{}, make_format(), ChoiceTimer(metrics, now)});
  }
}

void Answer::start(InferenceCall& call) const {
  for (const serving::Tensor& prompt : request_.prompts) {
    for (int64_t k = 0; k < request_.n; ++k) {
      auto infer = std::make_shared<serving::InferRequest>();
      infer->id = request_id_;
      infer->inputs = {prompt};
      infer->parameters = request_.parameters;
      if (request_.seed) infer->parameters["seed"] = *request_.seed + k;
      if (request_.logprobs) infer->parameters["logprobs"] = *request_.logprobs;
      call.start(std::move(infer));
    }
  }
}

TextPiece Answer::take(const InferenceCall::Event& event) {
  if (!event.response.status.ok()) throw to_api_error(event.response.status);
  auto read = read_text_piece(event.response);
  if (!read.ok()) throw to_api_error(read.status());
  TextPiece piece = *std::move(read);
  const size_t prompt = event.index / static_cast<size_t>(request_.n);
  ChoiceState& state = choices_[event.index];
  if (!std::exchange(state.begun, true) && !request_.echoes.empty()) {
    piece.text.insert(0, request_.echoes[prompt]);
  }
  state.timer.observe(piece.tokens, event.time);
  state.choice.text += piece.text;
  for (const auto& token : piece.logprobs) state.choice.logprobs.push_back(token);
  if (event.response.final) {
    state.choice.finish_reason = piece.finish_reason;
    state.timer.finish(event.time);
    completion_tokens_ += piece.completion_tokens;
    // The prompt is counted once, however many answers it got.
    if (event.index % static_cast<size_t>(request_.n) == 0) prompt_tokens_ += piece.prompt_tokens;
  }
  return piece;
}

json::object Answer::envelope(const std::string& object) const {
  return {{"id", choices_.front().format->id_prefix() + request_id_},
          {"object", object},
          {"created", created_},
          {"model", request_.model}};
}

json::object Answer::usage() const {
  return {{"prompt_tokens", prompt_tokens_},
          {"completion_tokens", completion_tokens_},
          {"total_tokens", prompt_tokens_ + completion_tokens_}};
}

json::object Answer::whole() const {
  json::object body = envelope(choices_.front().format->object());
  json::array list;
  for (const ChoiceState& state : choices_) {
    json::object choice = state.format->whole(state.choice, request_.logprobs.has_value());
    choice["index"] = list.size();
    list.push_back(std::move(choice));
  }
  body["choices"] = std::move(list);
  body["usage"] = usage();
  return body;
}

json::object Answer::chunk(size_t index, const TextPiece& piece) {
  ChoiceState& state = choices_[index];
  json::object body = envelope(state.format->chunk_object());
  const bool first = !std::exchange(state.streamed, true);
  json::object choice = state.format->piece(piece, first, request_.logprobs.has_value());
  choice["index"] = index;
  body["choices"] = json::array{std::move(choice)};
  if (request_.include_usage) body["usage"] = nullptr;
  return body;
}

json::object Answer::usage_chunk() const {
  json::object body = envelope(choices_.front().format->chunk_object());
  body["choices"] = json::array{};
  body["usage"] = usage();
  return body;
}

}  // namespace zeta::server::openai
