#include "apps/zeta-server/grpc/model_calls.h"

#include <string>

#include "apps/zeta-server/grpc/received_call.h"
#include "apps/zeta-server/server_identity.h"
#include "src/base/concat.h"
#include "src/serving/data_type.h"

namespace zeta::server::grpc_api {
namespace {

using TensorList = google::protobuf::RepeatedPtrField<inference::ModelMetadataResponse::TensorMetadata>;

void describe(const std::vector<serving::TensorMetadata>& tensors, TensorList& list) {
  for (const serving::TensorMetadata& tensor : tensors) {
    auto& described = *list.Add();
    described.set_name(tensor.name);
    described.set_datatype(std::string(serving::data_type_name(tensor.datatype)));
    described.mutable_shape()->Add(tensor.shape.begin(), tensor.shape.end());
  }
}

}  // namespace

absl::Status server_live(const CallContext&, const inference::ServerLiveRequest&,
                         inference::ServerLiveResponse& response) {
  response.set_live(true);
  return absl::OkStatus();
}

absl::Status server_ready(const CallContext& call, const inference::ServerReadyRequest&,
                          inference::ServerReadyResponse& response) {
  response.set_ready(call.server->registry->ready());
  return absl::OkStatus();
}

absl::Status server_metadata(const CallContext& call, const inference::ServerMetadataRequest&,
                             inference::ServerMetadataResponse& response) {
  response.set_name(call.server->server_id);
  response.set_version(std::string(kServerVersion));
  for (const std::string_view extension : kExtensions) response.add_extensions(std::string(extension));
  return absl::OkStatus();
}

absl::Status model_ready(const CallContext& call, const inference::ModelReadyRequest& request,
                         inference::ModelReadyResponse& response) {
  const absl::Status status = find_model(call, request.name(), request.version()).status();
  response.set_ready(status.ok());
  return absl::IsInvalidArgument(status) ? status : absl::OkStatus();
}

absl::Status model_metadata(const CallContext& call, const inference::ModelMetadataRequest& request,
                            inference::ModelMetadataResponse& response) {
  const auto model = find_model(call, request.name(), request.version());
  if (!model.ok()) return model.status();
  const serving::ModelMetadata& metadata = (*model)->metadata();
  response.set_name(metadata.name);
  if (!request.version().empty()) {
    response.add_versions(metadata.version);
  } else {
    for (const std::string& version : call.server->registry->versions(metadata.name)) {
      response.add_versions(version);
    }
  }
  response.set_platform(metadata.platform);
  describe(metadata.inputs, *response.mutable_inputs());
  describe(metadata.outputs, *response.mutable_outputs());
  return absl::OkStatus();
}

absl::Status repository_index(const CallContext& call, const inference::RepositoryIndexRequest& request,
                              inference::RepositoryIndexResponse& response) {
  if (!request.repository_name().empty()) {
    return absl::UnimplementedError("'repository_name' specification is not supported");
  }
  for (const serving::ModelStatus& model : call.server->registry->index()) {
    if (request.ready() && model.state != serving::ModelState::kReady) continue;
    auto& entry = *response.add_models();
    entry.set_name(model.name);
    entry.set_version(model.version);
    if (!model.version.empty()) entry.set_state(std::string(serving::model_state_name(model.state)));
    entry.set_reason(model.reason);
  }
  return absl::OkStatus();
}

}  // namespace zeta::server::grpc_api
