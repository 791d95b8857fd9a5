// The requests to a model that one HTTP request gives rise to, and their responses.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <memory>
#include <vector>

#include "src/http/message.h"
#include "src/serving/backend.h"
#include "src/serving/served_model.h"

namespace zeta::server {

// Used on the connection's executor only; responses arrive there from the backend's threads. When the client
// goes, time is up or the server ends, every request is cancelled and the call fails at once, without waiting
// for the backend. Destroying the call cancels too.
class InferenceCall {
 public:
  struct Event {
    size_t index = 0;  // of the request, in the order of start()
    serving::InferResponse response;
    std::chrono::steady_clock::time_point time;  // when the backend sent it
  };

  // Both outlive the call.
  InferenceCall(http::Connection& connection, std::shared_ptr<serving::ServedModel> model);
  ~InferenceCall();

  const serving::ServedModel& model() const { return *model_; }
  void start(std::shared_ptr<serving::InferRequest> request);

  // True when every request has had its final response, or one has failed.
  bool done() const { return failed_ || unfinished_ == 0; }

  // The next responses, at least one. A response with a status that is not OK is always the last event.
  // REQUIRES: !done().
  http::asio::awaitable<std::vector<Event>> next();

 private:
  class Inbox;
  class Sink;

  void watch_client();
  void cancel();
  // Notes what is finished and drops what follows a failure.
  void account(std::vector<Event>& events);

  http::Connection& connection_;
  const std::shared_ptr<serving::ServedModel> model_;
  const std::shared_ptr<Inbox> inbox_;
  std::vector<std::shared_ptr<serving::Cancellation>> cancellations_;
  size_t unfinished_ = 0;
  bool failed_ = false;
  bool watching_ = false;
};

}  // namespace zeta::server
