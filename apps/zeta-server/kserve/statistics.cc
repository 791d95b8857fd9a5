#include "apps/zeta-server/kserve/statistics.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <string>
#include <utility>

#include "apps/zeta-server/json.h"
#include "apps/zeta-server/kserve/error.h"

namespace zeta::server::kserve {
namespace {

json::object describe(const serving::DurationTotal& total) {
  return {{"count", total.count}, {"ns", total.ns}};
}

json::array describe(const std::map<int64_t, serving::BatchTotals>& batches) {
  json::array list;
  for (const auto& [size, totals] : batches) {
    list.push_back(json::object{{"batch_size", size},
                                {"compute_input", describe(totals.compute_input)},
                                {"compute_infer", describe(totals.compute_infer)},
                                {"compute_output", describe(totals.compute_output)}});
  }
  return list;
}

json::object describe(const serving::ServedModel& model) {
  const serving::StatisticsSnapshot figures = model.statistics();
  return {{"name", model.metadata().name},
          {"version", model.metadata().version},
          {"last_inference", figures.last_inference_ms},
          {"inference_count", figures.inference_count},
          {"execution_count", figures.execution_count},
          {"inference_stats", json::object{{"success", describe(figures.success)},
                                           {"fail", describe(figures.fail)},
                                           {"queue", describe(figures.queue)},
                                           {"compute_input", describe(figures.compute_input)},
                                           {"compute_infer", describe(figures.compute_infer)},
                                           {"compute_output", describe(figures.compute_output)},
                                           {"cache_hit", describe(figures.cache_hit)},
                                           {"cache_miss", describe(figures.cache_miss)}}},
          {"response_stats", json::object()},
          {"batch_stats", describe(figures.batches)},
          {"memory_usage", json::array()}};
}

}  // namespace

http::Response model_statistics(const Context& context, const http::Request& request) {
  std::string_view name, version;
  for (const auto& [key, value] : request.path_params) (key == "model" ? name : version) = value;
  const auto models = context.registry->models(name, version);
  if (!models.ok()) return error_response(models.status());
  json::array list;
  for (const auto& model : *models) list.push_back(describe(*model));
  http::Response response;
  response.body = json::serialize(json::object{{"model_stats", std::move(list)}});
  return response;
}

}  // namespace zeta::server::kserve
