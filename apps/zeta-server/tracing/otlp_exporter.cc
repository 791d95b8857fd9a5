#include "apps/zeta-server/tracing/otlp_exporter.h"

#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include "apps/zeta-server/tracing/otlp_spans.h"
#include "otlp_trace.pb.h"
#include "src/base/concat.h"
#include "src/base/log.h"

namespace zeta::server {
namespace {

using std::chrono::milliseconds;

constexpr int kTries = 4;
constexpr milliseconds kFirstPause{250};  // doubled from try to try

// Short, since whoever ends the server waits for the last batch.
http::ClientLimits limits() {
  http::ClientLimits limits;
  limits.connect = milliseconds(2000);
  limits.silence = milliseconds(3000);
  limits.body_bytes = 1 << 20;
  return limits;
}

bool may_try_again(const absl::StatusOr<http::IncomingResponse>& answer) {
  if (!answer.ok()) return true;
  const int status = answer->status;
  return status == 429 || status == 502 || status == 503 || status == 504;
}

// Why the spans were not taken; nothing when they were.
std::optional<std::string> failure_of(const absl::StatusOr<http::IncomingResponse>& answer) {
  if (!answer.ok()) return std::string(answer.status().message());
  if (answer->status / 100 != 2) return concat("the collector answered with status ", answer->status);
  zeta::otlp::ExportTraceServiceResponse response;
  const bool read = response.ParseFromString(answer->body);
  if (!read || response.partial_success().rejected_spans() == 0) return std::nullopt;
  return concat("the collector refused ", response.partial_success().rejected_spans(),
                " spans: ", response.partial_success().error_message());
}

}  // namespace

OtlpExporter::OtlpExporter(const http::Url& url, std::map<std::string, std::string> resource)
    : url_(url), resource_(std::move(resource)), client_(url, limits()) {}

bool OtlpExporter::send(const std::vector<serving::TraceRecord>& records, bool last) {
  const http::OutgoingRequest request{
      "POST",
      url_.path,
      {{"Content-Type", "application/x-protobuf"}, {"User-Agent", "zeta-server"}},
      encode_spans(records, resource_)};
  auto answer = client_.ask(request);
  milliseconds pause = kFirstPause;
  for (int i = 1; i < kTries && !last && may_try_again(answer); ++i, pause *= 2) {
    std::this_thread::sleep_for(pause);
    answer = client_.ask(request);
  }
  const auto failure = failure_of(answer);
  if (!failure) {
    complained_ = false;
    return true;
  }
  if (!std::exchange(complained_, true)) {
    log::warning("traces are lost", {{"collector", url_.authority()}, {"reason", *failure}});
  }
  return false;
}

}  // namespace zeta::server
