#include "apps/zeta-server/tracing/http_trace.h"

#include "apps/zeta-server/tracing/tracer.h"

namespace zeta::server {

std::shared_ptr<serving::RequestTrace> begin_trace(Tracer* tracer, const http::Request& request,
                                                   std::string_view model) {
  if (tracer == nullptr || !tracer->active()) return nullptr;
  auto trace = tracer->sample(model, request.header("traceparent"), request.header("tracestate"));
  if (trace == nullptr) return nullptr;
  trace->note("HTTP_RECV_START", request.begun);
  trace->note("HTTP_RECV_END", request.arrived);
  return trace;
}

void end_trace(const std::shared_ptr<serving::RequestTrace>& trace, http::Response& response) {
  if (trace == nullptr) return;
  response.on_sent = [trace](std::chrono::steady_clock::time_point begun) {
    trace->note("HTTP_SEND_START", begun);
    trace->note("HTTP_SEND_END");
  };
}

}  // namespace zeta::server
