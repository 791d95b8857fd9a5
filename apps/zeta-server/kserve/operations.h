// Shared memory, traces and the log over HTTP.
#pragma once

#include "apps/zeta-server/context.h"
#include "src/http/message.h"

namespace zeta::server::kserve {

// GET /v2/systemsharedmemory[/region/REGION]/status
http::Response system_shared_memory_status(const Context& context, const http::Request& request);
// POST /v2/systemsharedmemory/region/REGION/register: {"key", "offset", "byte_size"}
http::Response register_system_shared_memory(const Context& context, const http::Request& request);
// POST /v2/systemsharedmemory[/region/REGION]/unregister
http::Response unregister_system_shared_memory(const Context& context, const http::Request& request);

// GET /v2/cudasharedmemory[/region/REGION]/status
http::Response cuda_shared_memory_status(const Context& context, const http::Request& request);
// POST /v2/cudasharedmemory/region/REGION/register: {"raw_handle": {"b64"}, "device_id", "byte_size"}
http::Response register_cuda_shared_memory(const Context& context, const http::Request& request);
// POST /v2/cudasharedmemory[/region/REGION]/unregister
http::Response unregister_cuda_shared_memory(const Context& context, const http::Request& request);

// GET and POST /v2[/models/MODEL]/trace/setting: a JSON object of settings, null takes one back.
http::Response trace_setting(const Context& context, const http::Request& request);

// GET and POST /v2/logging
http::Response logging(const http::Request& request);

}  // namespace zeta::server::kserve
