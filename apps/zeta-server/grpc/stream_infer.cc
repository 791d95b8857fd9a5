#include "apps/zeta-server/grpc/stream_infer.h"

#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "apps/zeta-server/grpc/call_metadata.h"
#include "apps/zeta-server/grpc/infer_response.h"
#include "apps/zeta-server/grpc/received_call.h"
#include "apps/zeta-server/grpc/response_queue.h"
#include "apps/zeta-server/grpc/status.h"
#include "src/serving/request_trace.h"

namespace zeta::server::grpc_api {
namespace {

using grpc::ByteBuffer;

constexpr size_t kMaxRequests = 1024;      // of one stream at once; then no more are read
constexpr size_t kMaxWaiting = 64 << 20;   // bytes for a client that reads slowly
constexpr size_t kPauseReading = 8 << 20;  // with so much waiting no more requests are read

// A request and what its answers need. Its model's last reference must not go on one of the model's threads.
struct StreamRequest {
  ReceivedRequest received;
  std::shared_ptr<serving::ServedModel> model;
  std::optional<uint64_t> place;  // among the responses that keep their order
};

// An encoded response, or why there is none.
absl::StatusOr<std::optional<ByteBuffer>> encode(const StreamRequest& request,
                                                 serving::InferResponse response) {
  if (!response.status.ok()) return response.status;
  const serving::ModelMetadata& metadata = request.model->metadata();
  const bool empty = response.outputs.empty() && response.final && metadata.decoupled;
  if (empty && !request.received.empty_final_response && response.parameters.empty()) return std::nullopt;
  auto outputs = serving::deliver_outputs(metadata, request.received.outputs, std::move(response.outputs));
  if (!outputs.ok()) return outputs.status();
  return encode_stream_response({metadata.name, metadata.version, request.received.request->id,
                                 &response.parameters, response.final || !metadata.decoupled},
                                *std::move(outputs));
}

// gRPC uses it until OnDone, sinks perhaps for longer.
class StreamInfer final : public grpc::ServerBidiReactor<ByteBuffer, ByteBuffer>,
                          public std::enable_shared_from_this<StreamInfer> {
 public:
  StreamInfer(const CallContext& call, const grpc::CallbackServerContext& context)
      : call_(call), context_(context), ends_on_failure_(wants_grpc_errors(context)) {}

  void start() ZETA_EXCLUDES(mutex_) {
    self_ = shared_from_this();
    watch_ = call_.limits.watch([stream = weak_from_this()] {
      if (const auto self = stream.lock()) self->end(absl::UnavailableError("the server is shutting down"));
    });
    MutexLock lock(mutex_);
    step();
  }

  void OnReadDone(bool ok) override ZETA_EXCLUDES(mutex_) {
    if (ok) receive_one();
    const auto released = release();
    MutexLock lock(mutex_);
    reading_ = false;
    if (!ok && !end_) end_.emplace();
    step();
  }
  void OnWriteDone(bool ok) override ZETA_EXCLUDES(mutex_) {
    const auto released = release();
    MutexLock lock(mutex_);
    writing_ = false;
    outgoing_.Clear();
    if (!ok) abandon();
    step();
  }
  void OnCancel() override ZETA_EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    abandon();
    step();
  }
  void OnDone() override ZETA_EXCLUDES(mutex_) {
    call_.limits.unwatch(watch_);
    // Both at once, and destroyed here: a sink's thread may destroy the stream, but no model.
    Requests left;
    std::vector<StreamRequest> released;
    {
      MutexLock lock(mutex_);
      left.swap(requests_);
      released.swap(released_);
    }
    for (const auto& [key, request] : left) {
      request.received.request->cancellation->cancel();
      call_.limits.count_abandoned();
      call_.limits.leave();
    }
    self_.reset();
  }

  // From sinks.
  void answer(uint64_t key, serving::InferResponse response) ZETA_EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    const auto found = requests_.find(key);
    if (found == requests_.end()) return;
    const StreamRequest& request = found->second;
    const bool final = response.final || !response.status.ok() || request.place.has_value();
    // Of a stream that is: put into the queue of what gRPC is to send.
    const auto trace = final ? request.received.request->trace : nullptr;
    if (trace != nullptr) trace->note("GRPC_SEND_START");
    auto encoded = encode(request, std::move(response));
    absl::Status status = encoded.status();
    std::optional<ByteBuffer> message;
    if (encoded.ok()) message = *encoded;
    if (message && !final && waiting_.bytes() + message->Length() > kMaxWaiting)
      status = absl::ResourceExhaustedError("the client reads too slowly");
    const bool done = final || !status.ok();
    put(request, status, message);
    if (trace != nullptr) trace->note("GRPC_SEND_END");
    if (done) retire(found);
    step();
  }

 private:
  using Requests = std::map<uint64_t, StreamRequest>;

  class Sink final : public serving::ResponseSink {
   public:
    Sink(std::shared_ptr<StreamInfer> stream, uint64_t key) : stream_(std::move(stream)), key_(key) {}
    void send(serving::InferResponse response) override { stream_->answer(key_, std::move(response)); }

   private:
    const std::shared_ptr<StreamInfer> stream_;
    const uint64_t key_;
  };

  void receive_one() ZETA_EXCLUDES(mutex_) {
    StreamRequest request;
    auto model = receive(call_, context_, incoming_, request.received);
    incoming_.Clear();
    absl::Status status = model.status();
    if (status.ok()) status = check_rate(*call_.server, context_);
    if (status.ok()) status = call_.limits.enter();
    const auto asked = request.received.request;
    uint64_t key = 0;
    {
      MutexLock lock(mutex_);
      if (!status.ok() || !(*model)->metadata().decoupled) request.place = waiting_.reserve();
      if (!status.ok()) return put(request, status);
      request.model = *model;
      if (failed_) asked->cancellation->cancel();  // the client went while it was received
      key = next_key_++;
      requests_.emplace(key, std::move(request));
    }
    (*model)->infer(asked, std::make_shared<Sink>(shared_from_this(), key));
  }

  // Of what a request came to: a message if the status is OK and there is something to say.
  void put(const StreamRequest& request, const absl::Status& status, std::optional<ByteBuffer> message = {})
      ZETA_REQUIRES(mutex_) {
    if (!status.ok() && ends_on_failure_) {
      cancel_all();
      end_ = status;
      failed_ = true;
      return;
    }
    if (!status.ok()) message = encode_stream_error(status, request.received.request->id);
    if (failed_ || !message) return;
    if (request.place) {
      waiting_.put(*request.place, *message);
    } else {
      waiting_.put(*message);
    }
  }

  // Forgets a request. Its model goes later, on a thread of gRPC.
  void retire(Requests::iterator request) ZETA_REQUIRES(mutex_) {
    request->second.received.request->cancellation->cancel();
    released_.push_back(std::move(request->second));
    requests_.erase(request);
    call_.limits.leave();
  }
  std::vector<StreamRequest> release() ZETA_EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return std::exchange(released_, {});
  }
  void cancel_all() ZETA_REQUIRES(mutex_) {
    for (const auto& [key, request] : requests_) request.received.request->cancellation->cancel();
  }

  // Reads no more, and ends when what is under way has been answered.
  void end(absl::Status status) ZETA_EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    if (!end_) end_ = std::move(status);
    step();
  }
  // The client has gone: nothing more is written.
  void abandon() ZETA_REQUIRES(mutex_) {
    cancel_all();
    waiting_.clear();
    end_ = absl::CancelledError("the client has gone");
    failed_ = true;
  }

  // Starts whatever can be now. None of these calls comes back to the reactor from within.
  void step() ZETA_REQUIRES(mutex_) {
    if (finished_) return;
    if (!reading_ && !end_ && requests_.size() < kMaxRequests && waiting_.bytes() < kPauseReading) {
      reading_ = true;
      StartRead(&incoming_);
    }
    std::optional<ByteBuffer> next;
    if (!writing_) next = waiting_.take();
    if (next) {
      writing_ = true;
      outgoing_ = *next;
      grpc::WriteOptions options;
      if (waiting_.has_next()) options.set_buffer_hint();  // several messages in a packet
      StartWrite(&outgoing_, options);
    }
    if (end_ && !writing_ && !waiting_.has_next() && (failed_ || requests_.empty())) {
      finished_ = true;
      Finish(to_grpc(*end_));
    }
  }

  const CallContext& call_;
  const grpc::CallbackServerContext& context_;
  const bool ends_on_failure_;
  std::shared_ptr<StreamInfer> self_;  // until OnDone
  size_t watch_ = 0;
  ByteBuffer incoming_;  // of the read under way
  ByteBuffer outgoing_;  // of the write under way

  Mutex mutex_;
  Requests requests_ ZETA_GUARDED_BY(mutex_);
  std::vector<StreamRequest> released_ ZETA_GUARDED_BY(mutex_);
  ResponseQueue waiting_ ZETA_GUARDED_BY(mutex_);
  uint64_t next_key_ ZETA_GUARDED_BY(mutex_) = 0;
  std::optional<absl::Status> end_ ZETA_GUARDED_BY(mutex_);  // set: no more is read
  bool failed_ ZETA_GUARDED_BY(mutex_) = false;              // requests under way are not waited for
  bool reading_ ZETA_GUARDED_BY(mutex_) = false;
  bool writing_ ZETA_GUARDED_BY(mutex_) = false;
  bool finished_ ZETA_GUARDED_BY(mutex_) = false;
};

class Refusal final : public grpc::ServerBidiReactor<ByteBuffer, ByteBuffer> {
 public:
  explicit Refusal(const absl::Status& status) { Finish(to_grpc(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

grpc::ServerBidiReactor<ByteBuffer, ByteBuffer>* start_stream(const CallContext& call,
                                                              grpc::CallbackServerContext* context) {
  const absl::Status status = check_access(call.access, Api::kInference, *context);
  if (!status.ok()) return new Refusal(status);
  const auto stream = std::make_shared<StreamInfer>(call, *context);
  stream->start();
  return stream.get();
}

}  // namespace zeta::server::grpc_api
