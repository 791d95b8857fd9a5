// A trace in Triton's JSON.
#pragma once

#include <string>

#include "src/serving/request_trace.h"

namespace zeta::server {

// Objects separated by commas: one that names the model, one for each timestamp (nanoseconds of the monotonic
// clock), one for each tensor. A tensor's elements are cut off after a megabyte of text; FP16 and BF16 have
// none.
std::string trace_json(const serving::TraceRecord& record);

}  // namespace zeta::server
