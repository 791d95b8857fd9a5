#include "apps/zeta-server/kserve/models.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value_from.hpp>
#include <utility>

#include "apps/zeta-server/json.h"
#include "apps/zeta-server/kserve/error.h"
#include "apps/zeta-server/kserve/infer.h"
#include "apps/zeta-server/server_identity.h"
#include "src/serving/data_type.h"

namespace zeta::server::kserve {
namespace {

http::Response ok(const json::value& body) {
  http::Response response;
  response.body = json::serialize(body);
  return response;
}

http::Response empty(int status) {
  http::Response response;
  response.status = status;
  response.content_type.clear();
  return response;
}

json::array describe(const std::vector<serving::TensorMetadata>& tensors) {
  json::array list;
  for (const auto& tensor : tensors) {
    list.push_back(json::object{{"name", tensor.name},
                                {"datatype", serving::data_type_name(tensor.datatype)},
                                {"shape", json::value_from(tensor.shape)}});
  }
  return list;
}

}  // namespace

http::Response server_metadata() {
  json::array extensions;
  for (const std::string_view extension : kExtensions) extensions.push_back(json::string(extension));
  return ok(json::object{
      {"name", kServerName}, {"version", kServerVersion}, {"extensions", std::move(extensions)}});
}

http::Response server_live() { return empty(200); }

http::Response server_ready(const Context& context) { return empty(context.registry->ready() ? 200 : 400); }

http::Response model_ready(const Context& context, const http::Request& request) {
  const auto model = find_model(context, request);
  if (model.ok()) return empty(200);
  if (model.status().code() == absl::StatusCode::kUnavailable) {
    return error_response(400, "Model version not ready");
  }
  return error_response(model.status());
}

http::Response model_metadata(const Context& context, const http::Request& request) {
  const auto model = find_model(context, request);
  if (!model.ok()) return error_response(model.status());
  const serving::ModelMetadata& metadata = (*model)->metadata();
  return ok(json::object{{"name", metadata.name},
                         {"versions", json::array{json::string(metadata.version)}},
                         {"platform", metadata.platform},
                         {"inputs", describe(metadata.inputs)},
                         {"outputs", describe(metadata.outputs)}});
}

http::Response repository_index(const Context& context, const http::Request& request) {
  bool ready_only = false;
  if (!request.body.empty()) {
    const auto body = parse_json(request.body);
    if (!body.ok()) return error_response(body.status());
    const auto* object = body->if_object();
    if (object == nullptr) return error_response(400, "expected a JSON object");
    if (const auto* value = object->if_contains("ready")) {
      if (!value->is_bool()) return error_response(400, "Unable to parse 'ready': expected a boolean");
      ready_only = value->get_bool();
    }
  }
  json::array list;
  for (const serving::ModelStatus& model : context.registry->index()) {
    if (ready_only && model.state != serving::ModelState::kReady) continue;
    json::object entry{
        {"name", model.name}, {"version", model.version}, {"state", serving::model_state_name(model.state)}};
    if (!model.reason.empty()) entry["reason"] = model.reason;
    list.push_back(std::move(entry));
  }
  return ok(list);
}

}  // namespace zeta::server::kserve
