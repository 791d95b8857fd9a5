#include "apps/zeta-server/grpc/unary_infer.h"

#include <grpcpp/alarm.h>

#include <atomic>
#include <memory>
#include <optional>
#include <utility>

#include "apps/zeta-server/grpc/call_metadata.h"
#include "apps/zeta-server/grpc/infer_response.h"
#include "apps/zeta-server/grpc/received_call.h"
#include "apps/zeta-server/grpc/status.h"
#include "src/serving/request_trace.h"

namespace zeta::server::grpc_api {
namespace {

// gRPC owns it until OnDone. The call ends once: by the model's response, or by whatever comes before.
class UnaryInfer final : public grpc::ServerUnaryReactor {
 public:
  UnaryInfer(const CallContext& call, grpc::ByteBuffer* response)
      : limits_(call.limits), place_(call.limits), response_(response) {}

  void start(const CallContext& call, grpc::CallbackServerContext& context, const grpc::ByteBuffer& message) {
    auto model = receive(call, context, message, received_);
    if (!model.ok()) return finish(model.status());
    model_ = *std::move(model);
    if (model_->metadata().decoupled) {
      return finish(absl::UnimplementedError(
          "ModelInfer RPC doesn't support models with decoupled transaction policy"));
    }
    if (call.request_timeout.count() > 0) limit_time(call.request_timeout);
    model_->infer(received_.request, std::make_shared<Sink>(ending_, this));
  }

  void OnCancel() override {
    if (received_.request) received_.request->cancellation->cancel();
    if (!ending_->claim()) return;
    limits_.count_abandoned();
    Finish({grpc::StatusCode::CANCELLED, "the client has gone"});
  }
  void OnDone() override {
    if (timer_) timer_->Cancel();
    if (sending_ && received_.request->trace != nullptr) received_.request->trace->note("GRPC_SEND_END");
    delete this;
  }

 private:
  // Outlives the reactor, for sinks that a backend keeps, and for the timer.
  struct Ending {
    std::atomic<bool> claimed{false};
    bool claim() { return !claimed.exchange(true); }
  };

  class Sink final : public serving::ResponseSink {
   public:
    Sink(std::shared_ptr<Ending> ending, UnaryInfer* reactor)
        : ending_(std::move(ending)), reactor_(reactor) {}
    void send(serving::InferResponse response) override {
      if (ending_->claim()) reactor_->respond(std::move(response));
    }

   private:
    const std::shared_ptr<Ending> ending_;
    UnaryInfer* const reactor_;  // lives until Finish, which only who claims the ending calls
  };

  void finish(const absl::Status& status) {
    if (ending_->claim()) Finish(to_grpc(status));
  }

  void respond(serving::InferResponse response) {
    if (received_.request->trace != nullptr) received_.request->trace->note("GRPC_SEND_START");
    sending_ = true;
    if (!response.status.ok()) return Finish(to_grpc(response.status));
    const serving::ModelMetadata& metadata = model_->metadata();
    auto outputs = serving::deliver_outputs(metadata, received_.outputs, std::move(response.outputs));
    if (!outputs.ok()) return Finish(to_grpc(outputs.status()));
    *response_ = encode_response(
        {metadata.name, metadata.version, received_.request->id, &response.parameters, std::nullopt},
        *std::move(outputs));
    Finish(grpc::Status::OK);
  }

  void limit_time(std::chrono::milliseconds timeout) {
    timer_.emplace();
    timer_->Set(std::chrono::system_clock::now() + timeout,
                [this, ending = ending_, request = received_.request](bool passed) {
                  if (!passed || !ending->claim()) return;
                  request->cancellation->cancel();
                  Finish({grpc::StatusCode::DEADLINE_EXCEEDED,
                          "the request took longer than the server allows (--request-timeout)"});
                });
  }

  CallLimits& limits_;
  const Place place_;
  grpc::ByteBuffer* const response_;
  ReceivedRequest received_;
  std::shared_ptr<serving::ServedModel> model_;
  const std::shared_ptr<Ending> ending_ = std::make_shared<Ending>();
  std::optional<grpc::Alarm> timer_;
  bool sending_ = false;
};

}  // namespace

grpc::ServerUnaryReactor* start_infer(const CallContext& call, grpc::CallbackServerContext* context,
                                      const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
  absl::Status status = check_access(call.access, Api::kInference, *context);
  if (status.ok()) status = check_rate(*call.server, *context);
  if (status.ok()) status = call.limits.enter();
  if (!status.ok()) {
    grpc::ServerUnaryReactor* refusal = context->DefaultReactor();
    refusal->Finish(to_grpc(status));
    return refusal;
  }
  auto* reactor = new UnaryInfer(call, response);
  reactor->start(call, *context, *request);
  return reactor;
}

}  // namespace zeta::server::grpc_api
