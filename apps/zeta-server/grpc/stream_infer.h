// ModelStreamInfer: requests and responses on one stream, and the only way to ask a decoupled model.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include "apps/zeta-server/grpc/call_context.h"

namespace zeta::server::grpc_api {

// Requests run side by side, up to a limit beyond which no more are read. The responses of models that give
// exactly one come in the order of their requests, those of decoupled models as soon as they are there. A
// failure is a message of the stream, or its end where the client asked for that (triton_grpc_error). A
// client that reads too slowly for its answers loses requests, not the server memory. `call` outlives the
// stream.
grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* start_stream(
    const CallContext& call, grpc::CallbackServerContext* context);

}  // namespace zeta::server::grpc_api
