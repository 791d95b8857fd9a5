// What happened to one request, and when, for whoever follows requests through the server.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "src/base/mutex.h"
#include "src/serving/backend.h"

namespace zeta::serving {

struct TraceEvent {
  std::string_view name;  // of static storage: REQUEST_START and so on, as Triton names them
  std::chrono::steady_clock::time_point time;
};

struct TracedTensor {
  std::string_view activity;  // TENSOR_QUEUE_INPUT or TENSOR_BACKEND_OUTPUT
  Tensor tensor;              // shares the request's memory
};

// Where a trace belongs in a trace of several services (W3C Trace Context). All zero: nowhere yet.
struct TraceContext {
  std::array<uint8_t, 16> trace_id{};
  std::array<uint8_t, 8> parent_span{};
  std::string state;  // the tracestate header
};

struct TraceRecord {
  uint64_t id = 0, parent_id = 0;  // parent: of the ensemble's request; 0: none
  std::string model, version, request_id;
  TraceContext context;
  std::array<uint8_t, 8> model_span{};  // of the model's part; what the traces of its steps hang on
  bool timestamps = false, tensors = false;
  uint64_t log_frequency = 0;
  std::vector<TraceEvent> events;  // in the order they were noted
  std::vector<TracedTensor> traced;
  absl::Status status;

  size_t bytes() const;  // of memory that it holds on to, about
};

// A trace in the making. Thread-safe. Whoever has a part in the request holds a reference; when the last goes
// the record is finished.
class RequestTrace {
 public:
  using Clock = std::chrono::steady_clock;
  using Finish = std::function<void(TraceRecord record)>;  // any thread; must return quickly
  using NextId = std::function<uint64_t()>;

  RequestTrace(TraceRecord record, NextId next_id, Finish finish)
      : next_id_(std::move(next_id)), finish_(std::move(finish)), record_(std::move(record)) {}
  ~RequestTrace() { finish_(std::move(record_)); }
  RequestTrace(const RequestTrace&) = delete;
  RequestTrace& operator=(const RequestTrace&) = delete;

  void note(std::string_view name, Clock::time_point time = Clock::now()) ZETA_EXCLUDES(mutex_);
  // Which model answers it.
  void name(const std::string& model, const std::string& version, const std::string& request_id)
      ZETA_EXCLUDES(mutex_);
  // Kept only where tensors are traced.
  void note_tensors(std::string_view activity, const std::vector<Tensor>& tensors) ZETA_EXCLUDES(mutex_);
  void fail(const absl::Status& status) ZETA_EXCLUDES(mutex_);

  // The trace of a request that this one gives rise to: a step of an ensemble.
  std::shared_ptr<RequestTrace> child() ZETA_EXCLUDES(mutex_);

 private:
  const NextId next_id_;
  const Finish finish_;
  Mutex mutex_;
  TraceRecord record_ ZETA_GUARDED_BY(mutex_);
};

}  // namespace zeta::serving
