#include "apps/zeta-server/openai/event_stream.h"

#include <boost/json/serialize.hpp>
#include <utility>

#include "apps/zeta-server/json.h"
#include "apps/zeta-server/openai/error.h"

namespace zeta::server::openai {
namespace {

void append_event(std::string& text, const std::string& data) {
  text.append("data: ").append(data).append("\n\n");
}

}  // namespace

EventStream::EventStream(std::unique_ptr<Answer> answer, std::unique_ptr<InferenceCall> call,
                         std::vector<InferenceCall::Event> first)
    : answer_(std::move(answer)), call_(std::move(call)), events_(std::move(first)) {}

bool EventStream::append(const std::vector<InferenceCall::Event>& events, std::string& text) {
  for (const auto& event : events) {
    try {
      const TextPiece piece = answer_->take(event);
      append_event(text, json::serialize(answer_->chunk(event.index, piece)));
    } catch (const ApiError& error) {
      append_event(text, error_body(error));
      return false;
    }
  }
  return true;
}

http::asio::awaitable<std::string> EventStream::next() {
  std::string text;
  if (ended_) co_return text;
  if (events_.empty()) events_ = co_await call_->next();
  const bool failed = !append(std::exchange(events_, {}), text);
  if (failed || call_->done()) {
    if (!failed && answer_->request().include_usage) {
      append_event(text, json::serialize(answer_->usage_chunk()));
    }
    append_event(text, "[DONE]");
    ended_ = true;
  }
  co_return text;
}

}  // namespace zeta::server::openai
