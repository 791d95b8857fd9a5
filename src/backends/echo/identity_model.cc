#include "src/backends/echo/identity_model.h"

#include <utility>

namespace zeta::echo {
namespace {

// The input's memory is shared, not copied.
serving::InferResponse make_response(const serving::InferRequest& request, bool final) {
  serving::InferResponse response;
  response.outputs = request.inputs;
  for (serving::Tensor& tensor : response.outputs) tensor.name = "OUTPUT0";
  response.final = final;
  return response;
}

class Repetition final : public Task {
 public:
  Repetition(std::shared_ptr<const serving::InferRequest> request,
             std::shared_ptr<serving::ResponseSink> sink, int64_t times)
      : request_(std::move(request)), sink_(std::move(sink)), left_(times) {}

  bool step() override {
    if (request_->cancellation->cancelled()) return end(absl::CancelledError("the client has gone"));
    --left_;
    sink_->send(make_response(*request_, left_ == 0));
    return left_ > 0;
  }
  void stop() override { end(absl::UnavailableError("the model is being unloaded")); }

 private:
  bool end(absl::Status status) {
    serving::InferResponse response;
    response.status = std::move(status);
    sink_->send(std::move(response));
    return false;
  }

  const std::shared_ptr<const serving::InferRequest> request_;
  const std::shared_ptr<serving::ResponseSink> sink_;
  int64_t left_;
};

}  // namespace

IdentityModel::IdentityModel(const Settings& settings) : settings_(settings), ticker_(settings.delay) {
  metadata_.platform = "echo";
  metadata_.inputs = {{"INPUT0", settings.datatype, settings.shape}};
  metadata_.outputs = {{"OUTPUT0", settings.datatype, settings.shape}};
  metadata_.decoupled = settings.kind == Settings::Kind::kRepeat;
}

void IdentityModel::infer(std::shared_ptr<const serving::InferRequest> request,
                          std::shared_ptr<serving::ResponseSink> sink) {
  const int64_t times = metadata_.decoupled ? settings_.times : 1;
  if (times == 1 && settings_.delay.count() == 0) {
    sink->send(make_response(*request, true));
  } else {
    ticker_.add(std::make_unique<Repetition>(std::move(request), std::move(sink), times));
  }
}

}  // namespace zeta::echo
