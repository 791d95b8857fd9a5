#include "apps/zeta-server/openai/models.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <ctime>
#include <utility>

#include "apps/zeta-server/json.h"
#include "apps/zeta-server/openai/error.h"
#include "apps/zeta-server/openai/text_piece.h"
#include "src/base/concat.h"

namespace zeta::server::openai {
namespace {

json::object describe(const serving::ServedModel& model) {
  return {{"id", model.metadata().name},
          {"object", "model"},
          {"created", model.loaded_at()},
          {"owned_by", "zeta"}};
}

}  // namespace

http::Response list_models(const Context& context) {
  json::array list;
  for (const auto& model : context.registry->ready_models()) {
    if (is_generative(model->metadata())) list.push_back(describe(*model));
  }
  http::Response response;
  response.body = json::serialize(json::object{{"object", "list"}, {"data", std::move(list)}});
  return response;
}

http::Response describe_model(const Context& context, const http::Request& request) {
  const std::string& name = request.path_param("model");
  const auto model = context.registry->find(name, "");
  if (!model.ok() || !is_generative((*model)->metadata())) {
    return error_response(
        ApiError(404, concat("The model `", name, "` does not exist"), "model", "model_not_found"));
  }
  http::Response response;
  response.body = json::serialize(describe(**model));
  return response;
}

}  // namespace zeta::server::openai
