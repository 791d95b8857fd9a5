// From a message on the wire to a request that a model can be asked.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>

#include <memory>

#include "absl/status/statusor.h"
#include "apps/zeta-server/grpc/call_context.h"
#include "apps/zeta-server/grpc/infer_request.h"
#include "src/serving/served_model.h"

namespace zeta::server::grpc_api {

// Reads the request, adds forwarded headers and finds its model. `received` has the id even when this fails.
absl::StatusOr<std::shared_ptr<serving::ServedModel>> receive(const CallContext& call,
                                                              const grpc::ServerContextBase& context,
                                                              const grpc::ByteBuffer& message,
                                                              ReceivedRequest& received);

// The model of that name; `version` "": the one to prefer. Statuses carry Triton's texts.
absl::StatusOr<std::shared_ptr<serving::ServedModel>> find_model(const CallContext& call,
                                                                 std::string_view name,
                                                                 std::string_view version);

}  // namespace zeta::server::grpc_api
