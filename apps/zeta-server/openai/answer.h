// An answer in the making: its choices, and what they have come to so far.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "apps/zeta-server/inference_call.h"
#include "apps/zeta-server/openai/answer_format.h"
#include "apps/zeta-server/openai/generation_metrics.h"
#include "apps/zeta-server/openai/generation_request.h"

namespace zeta::server::openai {

using MakeFormat = std::unique_ptr<AnswerFormat> (*)();

class Answer {
 public:
  Answer(GenerationRequest request, MakeFormat make_format, GenerationMetrics::Model metrics, std::string id);

  const GenerationRequest& request() const { return request_; }
  const std::string& request_id() const { return request_id_; }

  // Starts a request for each choice.
  void start(InferenceCall& call) const;

  // Takes a response in; throws ApiError when it is a failure. Returns the piece of text that it brought,
  // with what "echo" puts before the first.
  TextPiece take(const InferenceCall::Event& event);

  boost::json::object whole() const;                                 // the answer in one
  boost::json::object chunk(size_t choice, const TextPiece& piece);  // a part of it; once for each piece
  boost::json::object usage_chunk() const;

 private:
  struct ChoiceState {
    Choice choice;
    std::unique_ptr<AnswerFormat> format;
    ChoiceTimer timer;
    bool begun = false;     // a response has come
    bool streamed = false;  // a chunk has been made
  };

  boost::json::object envelope(const std::string& object) const;
  boost::json::object usage() const;

  const GenerationRequest request_;
  const std::string request_id_;
  const int64_t created_;
  std::vector<ChoiceState> choices_;
  int64_t prompt_tokens_ = 0, completion_tokens_ = 0;
};

}  // namespace zeta::server::openai
