// ModelInfer: one request, one response.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include "apps/zeta-server/grpc/call_context.h"

namespace zeta::server::grpc_api {

// Asks the model and writes the encoded ModelInferResponse to `response`. When the client goes or its
// deadline passes, the request is cancelled and the call ends at once, without waiting for the model. `call`
// outlives the call.
grpc::ServerUnaryReactor* start_infer(const CallContext& call, grpc::CallbackServerContext* context,
                                      const grpc::ByteBuffer* request, grpc::ByteBuffer* response);

}  // namespace zeta::server::grpc_api
