// The headers by which a trace goes on from one service to the next (W3C Trace Context).
#pragma once

#include <optional>
#include <string_view>

#include "src/serving/request_trace.h"

namespace zeta::server {

// nothing: `traceparent` is not there or not well-formed, so that a new trace begins. A `tracestate` of more
// than 512 bytes is dropped, as the standard allows.
std::optional<serving::TraceContext> read_trace_context(std::string_view traceparent,
                                                        std::string_view tracestate);

// Random bytes, not all zero; no secret.
void make_id(uint8_t* bytes, size_t count);

}  // namespace zeta::server
