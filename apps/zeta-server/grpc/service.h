// The services that are registered with gRPC.
#pragma once

#include <grpcpp/impl/codegen/service_type.h>

#include <memory>

#include "apps/zeta-server/grpc/call_context.h"

namespace zeta::server::grpc_api {

// inference.GRPCInferenceService: KServe v2 with Triton's extensions. `call` outlives it.
std::unique_ptr<grpc::Service> make_inference_service(const CallContext& call);

// grpc.health.v1.Health: SERVING while the server is ready, whatever service is asked for.
std::unique_ptr<grpc::Service> make_health_service(const CallContext& call);

}  // namespace zeta::server::grpc_api
