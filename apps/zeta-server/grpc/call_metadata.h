// What may be read from the metadata that comes with a call.
#pragma once

#include <grpcpp/server_context.h>

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "apps/zeta-server/access.h"
#include "apps/zeta-server/context.h"
#include "src/serving/backend.h"

namespace zeta::server::grpc_api {

// Unavailable, in Triton's words, when calls of `api` need a header that this one lacks.
absl::Status check_access(const AccessRules& rules, Api api, const grpc::ServerContextBase& context);

// Adds the headers that `pattern` fully matches (null: none) to the parameters, as text.
void forward_headers(const HeaderPattern* pattern, const grpc::ServerContextBase& context,
                     serving::Parameters& parameters);

// ResourceExhausted when the client sends more requests than one may.
absl::Status check_rate(const Context& server, const grpc::ServerContextBase& context);

// The value of a header, "" if absent.
std::string_view header(const grpc::ServerContextBase& context, const char* name);

// Whether the client asked for failures within a stream to end it (header triton_grpc_error: true).
bool wants_grpc_errors(const grpc::ServerContextBase& context);

}  // namespace zeta::server::grpc_api
