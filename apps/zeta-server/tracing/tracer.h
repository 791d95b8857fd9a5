// Which requests are traced, and where their traces go.
#pragma once

#include <prometheus/collectable.h>

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "apps/zeta-server/tracing/trace_options.h"
#include "apps/zeta-server/tracing/trace_queue.h"
#include "src/base/mutex.h"
#include "src/serving/request_trace.h"

namespace zeta::server {

using TraceValues = std::map<std::string, std::vector<std::string>, std::less<>>;

// The settings of the server and those in which a model differs from it, and the requests counted by them.
// Thread-safe.
class Tracer {
 public:
  explicit Tracer(TraceOptions options);
  // Writes the traces that are left. Requests under way may outlive the tracer; their traces are dropped.
  ~Tracer();

  // Those that hold for `model`; "": for the server. trace_count is what is left.
  TraceValues get(std::string_view model) const ZETA_EXCLUDES(mutex_);

  // All or nothing. An empty list takes a setting back to that of the server, or to that of the start. What
  // is wrong is InvalidArgument, or Unimplemented where it cannot change while the server runs, in Triton's
  // words.
  absl::Status update(std::string_view model, const TraceValues& changes) ZETA_EXCLUDES(mutex_);

  // The trace of a request to `model`, with the headers of those names (""  where they are not there); null:
  // it is not traced. With OpenTelemetry a request that comes with a trace is traced whatever rate and count.
  std::shared_ptr<serving::RequestTrace> sample(std::string_view model, std::string_view traceparent,
                                                std::string_view tracestate) ZETA_EXCLUDES(mutex_);
  // Whether any request may be traced: a look that costs nothing.
  bool active() const { return active_.load(std::memory_order_relaxed); }

  // zeta_traces_{written,dropped,failed}_total.
  std::shared_ptr<prometheus::Collectable> collectable() const;

 private:
  struct Rule {
    bool timestamps = false, tensors = false;
    uint64_t rate = 0, log_frequency = 0;
    int64_t count = -1;
    uint64_t seen = 0;
  };
  using Changed = std::map<std::string, TraceValues, std::less<>>;

  TraceValues values(const Changed& changed, std::string_view model) const;
  static Rule make_rule(const TraceValues& values);
  absl::Status check(const std::string& name, const std::vector<std::string>& values) const;
  void rebuild(std::string_view model, bool all) ZETA_REQUIRES(mutex_);
  bool wants(Rule& rule) const;

  const TraceOptions options_;
  const TraceValues first_values_;
  std::shared_ptr<TraceQueue> queue_;  // null: nothing can be traced
  std::shared_ptr<std::atomic<uint64_t>> last_id_ = std::make_shared<std::atomic<uint64_t>>(0);
  std::atomic<bool> active_{false};
  mutable Mutex mutex_;
  Changed changed_ ZETA_GUARDED_BY(mutex_);                                 // by model, "" the server
  std::map<std::string, Rule, std::less<>> rules_ ZETA_GUARDED_BY(mutex_);  // likewise; "" is always there
};

}  // namespace zeta::server
