// The calls that tell of the server and its models: answers as functions of requests.
#pragma once

#include "absl/status/status.h"
#include "apps/zeta-server/grpc/call_context.h"
#include "grpc_service.pb.h"

namespace zeta::server::grpc_api {

absl::Status server_live(const CallContext& call, const inference::ServerLiveRequest& request,
                         inference::ServerLiveResponse& response);
absl::Status server_ready(const CallContext& call, const inference::ServerReadyRequest& request,
                          inference::ServerReadyResponse& response);
absl::Status server_metadata(const CallContext& call, const inference::ServerMetadataRequest& request,
                             inference::ServerMetadataResponse& response);
// Unknown models are not ready, which is no failure.
absl::Status model_ready(const CallContext& call, const inference::ModelReadyRequest& request,
                         inference::ModelReadyResponse& response);
absl::Status model_metadata(const CallContext& call, const inference::ModelMetadataRequest& request,
                            inference::ModelMetadataResponse& response);
absl::Status model_config(const CallContext& call, const inference::ModelConfigRequest& request,
                          inference::ModelConfigResponse& response);
absl::Status model_statistics(const CallContext& call, const inference::ModelStatisticsRequest& request,
                              inference::ModelStatisticsResponse& response);
absl::Status repository_index(const CallContext& call, const inference::RepositoryIndexRequest& request,
                              inference::RepositoryIndexResponse& response);

// These block until the model is there, or gone.
absl::Status load_model(const CallContext& call, const inference::RepositoryModelLoadRequest& request);
absl::Status unload_model(const CallContext& call, const inference::RepositoryModelUnloadRequest& request);

}  // namespace zeta::server::grpc_api
