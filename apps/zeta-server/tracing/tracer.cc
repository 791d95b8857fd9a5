#include "apps/zeta-server/tracing/tracer.h"

#include <prometheus/metric_family.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "apps/zeta-server/tracing/otlp_exporter.h"
#include "apps/zeta-server/tracing/trace_context.h"
#include "apps/zeta-server/tracing/trace_file.h"
#include "src/base/concat.h"

namespace zeta::server {
namespace {

using serving::RequestTrace;
using serving::TraceRecord;

constexpr size_t kSpans = 3;  // of a trace
constexpr std::chrono::milliseconds kFileDelay{200};

template <class... Parts>
absl::Status invalid(const Parts&... parts) {
  return absl::InvalidArgumentError(concat(parts...));
}

TraceValues values_of(const TraceOptions& options) {
  TraceValues values{{"trace_level", options.levels},
                     {"trace_rate", {concat(options.rate)}},
                     {"trace_count", {concat(options.count)}}};
  if (options.mode == TraceMode::kTriton) {
    values["trace_mode"] = {"triton"};
    values["trace_file"] = {options.file};
    values["log_frequency"] = {concat(options.log_frequency)};
    return values;
  }
  std::string resource;
  for (const auto& [key, value] : options.resource) {
    resource += concat(resource.empty() ? "" : ",", key, "=", value);
  }
  values["trace_mode"] = {"opentelemetry"};
  values["url"] = {options.url};
  values["resource"] = {resource};
  values["bsp_max_queue_size"] = {concat(options.max_queue)};
  values["bsp_max_export_batch_size"] = {concat(options.max_batch)};
  values["bsp_schedule_delay"] = {concat(static_cast<int64_t>(options.delay.count()))};
  return values;
}

std::shared_ptr<TraceQueue> make_queue(const TraceOptions& options) {
  TraceQueue::Limits limits;
  if (options.mode == TraceMode::kOpenTelemetry) {
    limits.traces = std::max<size_t>(options.max_queue / kSpans, 1);
    limits.batch = std::max<size_t>(options.max_batch / kSpans, 1);
    limits.delay = options.delay;
    const auto exporter = std::make_shared<OtlpExporter>(*http::parse_url(options.url), options.resource);
    return std::make_shared<TraceQueue>(limits, [exporter](const std::vector<TraceRecord>& batch, bool last) {
      return exporter->send(batch, last);
    });
  }
  if (options.file.empty()) return nullptr;
  limits.delay = kFileDelay;
  const auto file = std::make_shared<TraceFile>(options.file);
  return std::make_shared<TraceQueue>(
      limits, [file](const std::vector<TraceRecord>& batch, bool) { return file->write(batch); });
}

std::optional<int64_t> to_integer(const std::string& text) {
  int64_t value = 0;
  const char* end = text.data() + text.size();
  if (std::from_chars(text.data(), end, value) != std::from_chars_result{end, {}}) return std::nullopt;
  return value;
}

absl::Status check_number(std::string_view name, const std::string& text, int64_t least) {
  const auto value = to_integer(text);
  if (!value) return invalid("Unable to parse '", name, "', got: ", text);
  if (*value >= least) return absl::OkStatus();
  return invalid("Unable to parse '", name, "'. Expecting value >= ", least, ", got: ", text);
}

class QueueCounters final : public prometheus::Collectable {
 public:
  explicit QueueCounters(std::shared_ptr<const TraceQueue> queue) : queue_(std::move(queue)) {}
  std::vector<prometheus::MetricFamily> Collect() const override {
    if (queue_ == nullptr) return {};
    const TraceCounts counts = queue_->counts();
    return {family("zeta_traces_written_total", "Traces written to the file or taken by the collector",
                   counts.written),
            family("zeta_traces_dropped_total", "Traces dropped because too many waited to be written",
                   counts.dropped),
            family("zeta_traces_failed_total", "Traces that could not be written or were not taken",
                   counts.failed)};
  }

 private:
  static prometheus::MetricFamily family(const char* name, const char* help, uint64_t value) {
    prometheus::MetricFamily family{name, help, prometheus::MetricType::Counter, {}};
    family.metric.emplace_back();
    family.metric.back().counter.value = static_cast<double>(value);
    return family;
  }

  const std::shared_ptr<const TraceQueue> queue_;
};

}  // namespace

Tracer::Tracer(TraceOptions options)
    : options_(std::move(options)), first_values_(values_of(options_)), queue_(make_queue(options_)) {
  MutexLock lock(mutex_);
  rebuild("", true);
}

Tracer::~Tracer() = default;

std::shared_ptr<prometheus::Collectable> Tracer::collectable() const {
  return std::make_shared<QueueCounters>(queue_);
}

TraceValues Tracer::values(const Changed& changed, std::string_view model) const {
  TraceValues values = first_values_;
  for (const std::string_view whose : {std::string_view(), model}) {
    const auto found = changed.find(whose);
    if (found == changed.end()) continue;
    for (const auto& [name, value] : found->second) values[name] = value;
  }
  return values;
}

TraceValues Tracer::get(std::string_view model) const {
  MutexLock lock(mutex_);
  TraceValues found = values(changed_, model);
  const auto rule = rules_.find(model);
  found["trace_count"] = {concat((rule == rules_.end() ? rules_.find("") : rule)->second.count)};
  return found;
}

absl::Status Tracer::check(const std::string& name, const std::vector<std::string>& values) const {
  if (name == "trace_file") {
    return absl::UnimplementedError("trace file location can not be updated through network protocol");
  }
  if (name == "trace_mode") {
    return absl::UnimplementedError("trace mode can not be updated through network protocol");
  }
  const bool known = name == "trace_level" || name == "trace_rate" || name == "trace_count" ||
                     (name == "log_frequency" && options_.mode == TraceMode::kTriton);
  if (!known) return invalid("unknown trace setting '", name, "'");
  if (values.empty()) return absl::OkStatus();
  if (name != "trace_level") {
    if (values.size() != 1) return invalid("expect only 1 value for '", name, "'");
    return check_number(name, values.front(), name == "trace_count" ? -1 : 0);
  }
  for (const std::string& level : values) {
    if (level == "OFF") continue;
    if (level != "TIMESTAMPS" && level != "TENSORS") return invalid("unknown trace level '", level, "'");
    if (queue_ == nullptr) {
      return invalid("Attempting to set invalid trace setting :trace file name is not given");
    }
    if (level == "TENSORS" && options_.mode == TraceMode::kOpenTelemetry) {
      return invalid("trace level TENSORS is not to be had in the mode opentelemetry");
    }
  }
  return absl::OkStatus();
}

absl::Status Tracer::update(std::string_view model, const TraceValues& changes) {
  if (changes.empty()) return absl::OkStatus();
  for (const auto& [name, values] : changes) {
    if (absl::Status status = check(name, values); !status.ok()) return status;
  }
  MutexLock lock(mutex_);
  TraceValues& changed = changed_[std::string(model)];
  for (const auto& [name, values] : changes) {
    if (values.empty()) {
      changed.erase(name);
    } else {
      changed[name] = values;
    }
  }
  rebuild(model, model.empty());
  return absl::OkStatus();
}

Tracer::Rule Tracer::make_rule(const TraceValues& values) {
  const auto number = [&](const char* name) {
    const auto found = values.find(name);
    return found == values.end() ? 0 : to_integer(found->second.front()).value_or(0);
  };
  Rule rule;
  for (const std::string& level : values.find("trace_level")->second) {
    rule.timestamps |= level == "TIMESTAMPS";
    rule.tensors |= level == "TENSORS";
  }
  rule.rate = static_cast<uint64_t>(number("trace_rate"));
  rule.count = number("trace_count");
  rule.log_frequency = static_cast<uint64_t>(number("log_frequency"));
  return rule;
}

// The rule of `model`, or of all that have one: those of models follow the server's. Counting begins anew.
void Tracer::rebuild(std::string_view model, bool all) {
  rules_[std::string(model)] = make_rule(values(changed_, model));
  for (auto& [name, rule] : rules_) {
    if (all) rule = make_rule(values(changed_, name));
  }
  active_ = queue_ != nullptr && std::ranges::any_of(rules_, [](const auto& named) {
              return named.second.timestamps || named.second.tensors;
            });
}

bool Tracer::wants(Rule& rule) const {
  if (rule.rate == 0 || rule.count == 0 || ++rule.seen % rule.rate != 0) return false;
  if (rule.count > 0) --rule.count;
  return true;
}

std::shared_ptr<RequestTrace> Tracer::sample(std::string_view model, std::string_view traceparent,
                                             std::string_view tracestate) {
  if (!active()) return nullptr;
  TraceRecord record;
  std::optional<serving::TraceContext> context;
  if (options_.mode == TraceMode::kOpenTelemetry && !traceparent.empty()) {
    context = read_trace_context(traceparent, tracestate);
  }
  {
    MutexLock lock(mutex_);
    const auto found = rules_.find(model);
    Rule& rule = found == rules_.end() ? rules_.find("")->second : found->second;
    if (!rule.timestamps && !rule.tensors) return nullptr;
    if (!context && !wants(rule)) return nullptr;
    record.timestamps = rule.timestamps;
    record.tensors = rule.tensors;
    record.log_frequency = rule.log_frequency;
  }
  if (context) {
    record.context = *context;
  } else {
    make_id(record.context.trace_id.data(), record.context.trace_id.size());
  }
  make_id(record.model_span.data(), record.model_span.size());
  record.model = model;
  const auto next_id = [ids = last_id_] { return ids->fetch_add(1) + 1; };
  record.id = next_id();
  // A request may outlive the tracer.
  return std::make_shared<RequestTrace>(std::move(record), next_id,
                                        [queue = std::weak_ptr(queue_)](TraceRecord finished) {
                                          if (const auto open = queue.lock()) open->put(std::move(finished));
                                        });
}

}  // namespace zeta::server
