// The one way from our failures to those of gRPC.
#pragma once

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace zeta::server::grpc_api {

// Triton's mapping: the code of the same name, but out of room is UNAVAILABLE and out of range is
// INVALID_ARGUMENT.
grpc::Status to_grpc(const absl::Status& status);

}  // namespace zeta::server::grpc_api
