#include "apps/zeta-server/inference_call.h"

#include <atomic>
#include <utility>

#include "src/http/mailbox.h"

namespace zeta::server {
namespace {

// What may wait for a client that reads slowly, before the call is given up.
constexpr size_t kMaxWaiting = 64 << 20;  // bytes

size_t size_of(const serving::InferResponse& response) {
  size_t size = 256;
  for (const serving::Tensor& tensor : response.outputs) size += tensor.data.size;
  return size;
}

absl::Status status_of(http::Abandonment why) {
  switch (why) {
    case http::Abandonment::kClientGone:
      return absl::CancelledError("the client closed the connection");
    case http::Abandonment::kDeadline:
      return absl::DeadlineExceededError(
          "the request took longer than the server allows (--request-timeout)");
    case http::Abandonment::kShutdown:
      return absl::UnavailableError("the server is shutting down");
  }
  return absl::InternalError("unknown reason");
}

}  // namespace

// Shared with the sinks, which a backend may keep longer than the call lives.
class InferenceCall::Inbox {
 public:
  explicit Inbox(http::asio::any_io_executor executor) : mailbox_(std::move(executor)) {}

  // Beyond the bound the call fails, its request is cancelled and what follows is dropped: the connection's
  // coroutine may be waiting for the client to read, and would do so too late.
  void put(size_t index, serving::InferResponse response, serving::Cancellation& cancellation) {
    const size_t size = size_of(response);
    const bool fits = waiting_.load(std::memory_order_relaxed) + size <= kMaxWaiting || response.final;
    if (!fits && !full_.exchange(true)) fail(absl::ResourceExhaustedError("the client reads too slowly"));
    full_ ? cancellation.cancel() : push(index, std::move(response));
  }
  void fail(absl::Status status) {
    serving::InferResponse response;
    response.status = std::move(status);
    push(0, std::move(response));
  }
  std::vector<Event> try_take() { return mailbox_.try_take(); }
  http::asio::awaitable<std::vector<Event>> take() { return mailbox_.take(); }
  void taken(const std::vector<Event>& events) {
    for (const Event& event : events) waiting_.fetch_sub(size_of(event.response), std::memory_order_relaxed);
  }

 private:
  void push(size_t index, serving::InferResponse response) {
    waiting_.fetch_add(size_of(response), std::memory_order_relaxed);
    mailbox_.put({index, std::move(response), std::chrono::steady_clock::now()});
  }

  http::Mailbox<Event> mailbox_;
  std::atomic<size_t> waiting_{0};
  std::atomic<bool> full_{false};
};

class InferenceCall::Sink final : public serving::ResponseSink {
 public:
  Sink(std::shared_ptr<Inbox> inbox, size_t index, std::shared_ptr<serving::Cancellation> cancellation)
      : inbox_(std::move(inbox)), index_(index), cancellation_(std::move(cancellation)) {}
  void send(serving::InferResponse response) override {
    inbox_->put(index_, std::move(response), *cancellation_);
  }

 private:
  const std::shared_ptr<Inbox> inbox_;
  const size_t index_;
  const std::shared_ptr<serving::Cancellation> cancellation_;
};

InferenceCall::InferenceCall(http::Connection& connection, std::shared_ptr<serving::ServedModel> model)
    : connection_(connection),
      model_(std::move(model)),
      inbox_(std::make_shared<Inbox>(connection.executor())) {}

InferenceCall::~InferenceCall() {
  if (unfinished_ != 0) cancel();
}

void InferenceCall::start(std::shared_ptr<serving::InferRequest> request) {
  const size_t index = cancellations_.size();
  cancellations_.push_back(request->cancellation);
  ++unfinished_;
  auto sink = std::make_shared<Sink>(inbox_, index, request->cancellation);
  model_->infer(std::move(request), std::move(sink));
}

http::asio::awaitable<std::vector<InferenceCall::Event>> InferenceCall::next() {
  std::vector<Event> events = inbox_->try_take();
  if (events.empty()) {
    watch_client();
    events = co_await inbox_->take();
  }
  inbox_->taken(events);
  account(events);
  co_return events;
}

void InferenceCall::watch_client() {
  if (std::exchange(watching_, true)) return;
  connection_.on_abandon([inbox = inbox_, cancellations = cancellations_](http::Abandonment why) {
    for (const auto& cancellation : cancellations) cancellation->cancel();
    inbox->fail(status_of(why));
  });
}

void InferenceCall::cancel() {
  for (const auto& cancellation : cancellations_) cancellation->cancel();
}

void InferenceCall::account(std::vector<Event>& events) {
  for (size_t i = 0; i < events.size(); ++i) {
    if (!events[i].response.status.ok()) {
      failed_ = true;
      cancel();
      events.resize(i + 1);
      return;
    }
    if (events[i].response.final) --unfinished_;
  }
}

}  // namespace zeta::server
