#include "apps/zeta-server/kserve/models.h"

#include <algorithm>
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
#include "src/serving/model_config/json.h"

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

http::Response server_metadata(const Context& context) {
  json::array extensions;
  for (const std::string_view extension : kExtensions) extensions.push_back(json::string(extension));
  return ok(json::object{
      {"name", context.server_id}, {"version", kServerVersion}, {"extensions", std::move(extensions)}});
}

http::Response server_live() { return empty(200); }

http::Response server_ready(const Context& context) { return empty(context.registry->ready() ? 200 : 400); }

http::Response model_ready(const Context& context, const http::Request& request) {
  return find_model(context, request).ok() ? empty(200) : error_response(400, "Model version not ready");
}

http::Response model_metadata(const Context& context, const http::Request& request) {
  const auto model = find_model(context, request);
  if (!model.ok()) return error_response(model.status());
  const serving::ModelMetadata& metadata = (*model)->metadata();
  const bool one =
      std::ranges::any_of(request.path_params, [](const auto& p) { return p.first == "version"; });
  const auto versions = one ? std::vector{metadata.version} : context.registry->versions(metadata.name);
  return ok(json::object{{"name", metadata.name},
                         {"versions", json::value_from(versions)},
                         {"platform", metadata.platform},
                         {"inputs", describe(metadata.inputs)},
                         {"outputs", describe(metadata.outputs)}});
}

http::Response model_config(const Context& context, const http::Request& request) {
  const auto model = find_model(context, request);
  if (!model.ok()) return error_response(model.status());
  const serving::ModelMetadata& metadata = (*model)->metadata();
  const auto config = context.registry->config(metadata.name, metadata.version);
  if (!config.ok()) return error_response(config.status());
  http::Response response;
  response.body = serving::model_config_json(**config);
  return response;
}

}  // namespace zeta::server::kserve
