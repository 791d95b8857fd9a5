#include "apps/zeta-server/tracing/otlp_spans.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

#include "apps/zeta-server/tracing/trace_context.h"
#include "otlp_trace.pb.h"
#include "src/base/json_string.h"

namespace zeta::server {
namespace {

using serving::TraceEvent;
using serving::TraceRecord;

// protobuf refuses strings that are not UTF-8.
std::string to_utf8(const std::string& text) {
  if (is_utf8(text)) return text;
  std::string quoted;
  append_json_string(quoted, text);
  return quoted.substr(1, quoted.size() - 2);
}

template <size_t size>
std::string to_bytes(const std::array<uint8_t, size>& id) {
  return {reinterpret_cast<const char*>(id.data()), id.size()};
}

// The clock on the wall at times of the steady one, as of this moment.
class WallClock {
 public:
  uint64_t operator()(std::chrono::steady_clock::time_point time) const {
    return static_cast<uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch() + offset_).count());
  }

 private:
  const std::chrono::nanoseconds offset_ = std::chrono::system_clock::now().time_since_epoch() -
                                           std::chrono::steady_clock::now().time_since_epoch();
};

enum class Owner { kRequest, kModel, kCompute };

Owner owner_of(std::string_view event) {
  if (event.starts_with("COMPUTE_")) return Owner::kCompute;
  const bool of_model =
      event.starts_with("REQUEST_") || event == "QUEUE_START" || event.starts_with("INFER_");
  return of_model ? Owner::kModel : Owner::kRequest;
}

class SpanMaker {
 public:
  SpanMaker(const TraceRecord& record, const WallClock& clock, zeta::otlp::ScopeSpans& spans)
      : record_(record), clock_(clock), spans_(spans), events_(record.events) {
    std::ranges::stable_sort(events_, {}, &TraceEvent::time);
  }

  void make() {
    if (events_.empty()) return;
    std::string parent = has_parent() ? to_bytes(record_.context.parent_span) : "";
    if (record_.parent_id == 0) {
      auto& request = add("InferRequest", parent, zeta::otlp::Span::SERVER);
      fill(request, [](Owner owner) { return owner == Owner::kRequest; });
      request.set_start_time_unix_nano(clock_(events_.front().time));
      request.set_end_time_unix_nano(clock_(events_.back().time));
      set_status(request);
      parent = request.span_id();
    }
    auto& model = add(to_utf8(record_.model), parent, zeta::otlp::Span::INTERNAL);
    model.set_span_id(to_bytes(record_.model_span));
    fill(model, [](Owner owner) { return owner == Owner::kModel; });
    describe(model);
    set_status(model);
    const bool computed = std::ranges::any_of(
        events_, [](const auto& event) { return owner_of(event.name) == Owner::kCompute; });
    if (!computed) return;
    auto& compute = add("compute", model.span_id(), zeta::otlp::Span::INTERNAL);
    fill(compute, [](Owner owner) { return owner == Owner::kCompute; });
    describe(compute);
  }

 private:
  bool has_parent() const {
    return std::ranges::any_of(record_.context.parent_span, [](uint8_t byte) { return byte != 0; });
  }

  zeta::otlp::Span& add(const std::string& name, const std::string& parent, zeta::otlp::Span::Kind kind) {
    std::array<uint8_t, 8> id{};
    make_id(id.data(), id.size());
    auto& span = *spans_.add_spans();
    span.set_trace_id(to_bytes(record_.context.trace_id));
    span.set_trace_state(to_utf8(record_.context.state));
    span.set_span_id(to_bytes(id));
    span.set_parent_span_id(parent);
    span.set_name(name);
    span.set_kind(kind);
    return span;
  }

  // Its events, from the first of which to the last the span lasts; without any it has the whole trace's
  // time.
  template <class Wanted>
  void fill(zeta::otlp::Span& span, Wanted wanted) {
    std::optional<uint64_t> first, last;
    for (const TraceEvent& event : events_) {
      if (!wanted(owner_of(event.name))) continue;
      auto& added = *span.add_events();
      added.set_name(std::string(event.name));
      added.set_time_unix_nano(clock_(event.time));
      if (!first) first = added.time_unix_nano();
      last = added.time_unix_nano();
    }
    span.set_start_time_unix_nano(first.value_or(clock_(events_.front().time)));
    span.set_end_time_unix_nano(last.value_or(clock_(events_.back().time)));
  }

  void describe(zeta::otlp::Span& span) const {
    int64_t version = -1;
    const std::string& text = record_.version;
    std::from_chars(text.data(), text.data() + text.size(), version);
    attribute(span, "triton.model_name").set_string_value(to_utf8(record_.model));
    attribute(span, "triton.model_version").set_int_value(version);
    attribute(span, "triton.trace_id").set_int_value(static_cast<int64_t>(record_.id));
    attribute(span, "triton.trace_parent_id").set_int_value(static_cast<int64_t>(record_.parent_id));
    if (record_.request_id.empty()) return;
    attribute(span, "triton.request_id").set_string_value(to_utf8(record_.request_id));
  }
  static zeta::otlp::AnyValue& attribute(zeta::otlp::Span& span, const char* key) {
    auto& added = *span.add_attributes();
    added.set_key(key);
    return *added.mutable_value();
  }

  void set_status(zeta::otlp::Span& span) const {
    if (record_.status.ok()) return;
    span.mutable_status()->set_code(zeta::otlp::Status::ERROR);
    span.mutable_status()->set_message(to_utf8(std::string(record_.status.message())));
  }

  const TraceRecord& record_;
  const WallClock& clock_;
  zeta::otlp::ScopeSpans& spans_;
  std::vector<TraceEvent> events_;
};

}  // namespace

std::string encode_spans(const std::vector<TraceRecord>& records,
                         const std::map<std::string, std::string>& resource) {
  zeta::otlp::ExportTraceServiceRequest request;
  auto& of_resource = *request.add_resource_spans();
  for (const auto& [key, value] : resource) {
    auto& attribute = *of_resource.mutable_resource()->add_attributes();
    attribute.set_key(to_utf8(key));
    attribute.mutable_value()->set_string_value(to_utf8(value));
  }
  auto& spans = *of_resource.add_scope_spans();
  spans.mutable_scope()->set_name("triton-server");
  spans.mutable_scope()->set_version(ZETA_VERSION);
  const WallClock clock;
  for (const TraceRecord& record : records) SpanMaker(record, clock, spans).make();
  return request.SerializeAsString();
}

}  // namespace zeta::server
