#include "apps/zeta-server/kserve/infer.h"

#include <algorithm>
#include <utility>

#include "apps/zeta-server/inference_call.h"
#include "apps/zeta-server/kserve/error.h"
#include "apps/zeta-server/kserve/infer_json.h"
#include "src/base/concat.h"

namespace zeta::server::kserve {
namespace {

http::Response to_response(const serving::ModelMetadata& model, const serving::InferRequest& request,
                           const serving::InferResponse& answer) {
  if (!answer.status.ok()) return error_response(answer.status);
  auto body = write_infer_response(model, request, answer);
  if (!body.ok()) return error_response(body.status());
  http::Response response;
  response.body = *std::move(body);
  return response;
}

}  // namespace

absl::StatusOr<std::shared_ptr<serving::ServedModel>> find_model(const Context& context,
                                                                 const http::Request& request) {
  std::string_view version;
  for (const auto& [name, value] : request.path_params) {
    if (name != "version") continue;
    version = value;
    const bool digits = version.find_first_not_of("0123456789") == std::string_view::npos;
    if (version.empty() || !digits || version.front() == '0') {
      return absl::InvalidArgumentError(concat("failed to get model version from specified version string '",
                                               version, "', version should be an integral value > 0"));
    }
  }
  return context.registry->find(request.path_param("model"), version);
}

http::asio::awaitable<http::Response> infer(std::shared_ptr<const Context> context, http::Request& request) {
  const auto model = find_model(*context, request);
  if (!model.ok()) co_return error_response(model.status());
  if ((*model)->metadata().decoupled) {
    co_return error_response(
        absl::UnimplementedError("HTTP end point doesn't support models with decoupled transaction policy"));
  }
  if (!request.header("Inference-Header-Content-Length").empty()) {
    co_return error_response(
        absl::UnimplementedError("the binary tensor data extension is not supported; send tensors as JSON"));
  }
  const auto infer_request = read_infer_request(request.body);
  if (!infer_request.ok()) co_return error_response(infer_request.status());
  InferenceCall call(*request.connection, *model);
  call.start(*infer_request);
  const auto events = co_await call.next();
  co_return to_response(call.model().metadata(), **infer_request, events.front().response);
}

}  // namespace zeta::server::kserve
