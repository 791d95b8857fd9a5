#include "src/serving/served_model.h"

#include <atomic>
#include <ctime>
#include <exception>
#include <string>
#include <utility>

#include "src/base/concat.h"
#include "src/serving/request_check.h"
#include "src/serving/request_trace.h"

namespace zeta::serving {
namespace {

// Counts responses on their way and lets nothing through after the final one. Holds the statistics rather
// than the model, lest a backend's thread release the last reference to its own model.
class AccountedSink final : public ResponseSink {
 public:
  AccountedSink(std::shared_ptr<Statistics> statistics, std::shared_ptr<ResponseSink> sink,
                std::shared_ptr<RequestTrace> trace)
      : statistics_(std::move(statistics)),
        sink_(std::move(sink)),
        trace_(std::move(trace)),
        start_(Statistics::Clock::now()) {
    statistics_->request_arrived();
  }

  // Sends what `cache` has for `key`; false when it has nothing, and will have the answer to come.
  bool answer_from(std::shared_ptr<ResponseCache> cache, std::string key) {
    const auto begin = Statistics::Clock::now();
    auto hit = cache->find(key);
    lookup_ = Statistics::Clock::now() - begin;
    if (trace_ != nullptr) {
      trace_->note("CACHE_HIT_LOOKUP_START", begin);
      trace_->note("CACHE_HIT_LOOKUP_END", begin + lookup_);
    }
    if (!hit) {
      cache_ = std::move(cache);
      key_ = std::move(key);
      return false;
    }
    ended_ = true;
    statistics_->response_sent();
    statistics_->cache_hit(start_, lookup_);
    hit->phases = {};
    from_cache_ = true;
    if (trace_ != nullptr) trace(*hit);
    sink_->send(*std::move(hit));
    return true;
  }

  void send(InferResponse response) override {
    if (!response.status.ok()) response.final = true;
    if (response.final ? ended_.exchange(true) : ended_.load()) return;
    statistics_->response_sent();
    if (response.final) {
      if (cache_ != nullptr && response.status.ok()) keep(response);
      const auto elapsed = statistics_->request_ended(response.status, start_);
      if (!statistics_->is_scheduled()) response.phases.compute_infer = elapsed;
    }
    if (trace_ != nullptr) trace(response);
    sink_->send(std::move(response));
  }

 private:
  void keep(const InferResponse& response) {
    const auto begin = Statistics::Clock::now();
    cache_->insert(std::move(key_), response);
    statistics_->cache_miss(lookup_ + (Statistics::Clock::now() - begin));
  }
  void trace(const InferResponse& response) {
    trace_->note_tensors("TENSOR_BACKEND_OUTPUT", response.outputs);
    trace_->note("INFER_RESPONSE_COMPLETE");
    if (!response.status.ok()) trace_->fail(response.status);
    if (!response.final) return;
    if (!statistics_->is_scheduled() && !from_cache_) note_whole();
    trace_->note("REQUEST_END");
    trace_ = nullptr;  // a backend may keep its sink
  }
  // As the statistics count a model that schedules its requests itself: all of the time is computing.
  void note_whole() {
    for (const char* name : {"QUEUE_START", "COMPUTE_START", "COMPUTE_INPUT_END"}) trace_->note(name, start_);
    for (const char* name : {"COMPUTE_OUTPUT_START", "COMPUTE_END"}) trace_->note(name);
  }

  const std::shared_ptr<Statistics> statistics_;
  const std::shared_ptr<ResponseSink> sink_;
  std::shared_ptr<RequestTrace> trace_;  // null: nobody follows the request, or it has ended
  const Statistics::Clock::time_point start_;
  std::atomic<bool> ended_{false};
  std::shared_ptr<ResponseCache> cache_;  // null: the answer is not kept
  std::string key_;
  bool from_cache_ = false;
  std::chrono::nanoseconds lookup_{0};
};

std::string unique_name(const ModelMetadata& model) {
  static std::atomic<uint64_t> loaded{0};
  return concat(model.name, "/", model.version, "/", loaded++);
}

void fail(ResponseSink& sink, absl::Status status) {
  InferResponse response;
  response.status = std::move(status);
  sink.send(std::move(response));
}

}  // namespace

ServedModel::ServedModel(ModelMetadata metadata, std::unique_ptr<Model> model, double load_seconds,
                         std::shared_ptr<Statistics> statistics, std::shared_ptr<ResponseCache> cache)
    : metadata_(std::move(metadata)),
      load_seconds_(load_seconds),
      loaded_at_(std::time(nullptr)),
      statistics_(statistics ? std::move(statistics) : std::make_shared<Statistics>()),
      cache_(std::move(cache)),
      cache_name_(unique_name(metadata_)),
      model_(std::move(model)) {}

void ServedModel::infer(std::shared_ptr<const InferRequest> request, std::shared_ptr<ResponseSink> sink) {
  if (request->trace != nullptr) {
    request->trace->name(metadata_.name, metadata_.version, request->id);
    request->trace->note("REQUEST_START");
    request->trace->note_tensors("TENSOR_QUEUE_INPUT", request->inputs);
  }
  const auto accounted = std::make_shared<AccountedSink>(statistics_, std::move(sink), request->trace);
  if (absl::Status status = check_request(metadata_, *request); !status.ok()) {
    return fail(*accounted, std::move(status));
  }
  if (cache_ != nullptr && accounted->answer_from(cache_, cache_key(cache_name_, *request))) return;
  try {
    model_->infer(std::move(request), accounted);
  } catch (const std::exception& error) {
    fail(*accounted, absl::InternalError(concat("model '", metadata_.name, "' failed: ", error.what())));
  }
}

}  // namespace zeta::serving
