// Traces as OpenTelemetry's spans.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "src/serving/request_trace.h"

namespace zeta::server {

// An encoded ExportTraceServiceRequest. A trace becomes the spans "InferRequest" (from the first byte
// received to the last one sent), one named like the model, and "compute"; the traces of an ensemble's steps
// have no "InferRequest" and hang on the ensemble's span. Timestamps are events of the span they belong to.
std::string encode_spans(const std::vector<serving::TraceRecord>& records,
                         const std::map<std::string, std::string>& resource);

}  // namespace zeta::server
