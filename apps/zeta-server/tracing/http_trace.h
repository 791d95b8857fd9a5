// The trace of a request that came over HTTP.
#pragma once

#include <memory>
#include <string_view>

#include "src/http/message.h"
#include "src/serving/request_trace.h"

namespace zeta::server {

class Tracer;

// With the times at which the request came; null: it is not traced.
std::shared_ptr<serving::RequestTrace> begin_trace(Tracer* tracer, const http::Request& request,
                                                   std::string_view model);

// Lets the trace, which may be null, end when `response` has been sent.
void end_trace(const std::shared_ptr<serving::RequestTrace>& trace, http::Response& response);

}  // namespace zeta::server
