// An answer as server-sent events.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "apps/zeta-server/inference_call.h"
#include "apps/zeta-server/openai/answer.h"
#include "src/http/message.h"

namespace zeta::server::openai {

// One event for each piece of text, then the usage if asked for, then [DONE]. A failure on the way becomes an
// event with an error, which clients raise.
class EventStream final : public http::BodySource {
 public:
  // `first` are the responses that have been taken from the call already.
  EventStream(std::unique_ptr<Answer> answer, std::unique_ptr<InferenceCall> call,
              std::vector<InferenceCall::Event> first);
  http::asio::awaitable<std::string> next() override;

 private:
  // False after a failure.
  bool append(const std::vector<InferenceCall::Event>& events, std::string& text);

  const std::unique_ptr<Answer> answer_;
  const std::unique_ptr<InferenceCall> call_;
  std::vector<InferenceCall::Event> events_;
  bool ended_ = false;
};

}  // namespace zeta::server::openai
