#include "apps/zeta-server/monitoring.h"

#include "apps/zeta-server/kserve/error.h"
#include "apps/zeta-server/tracing/tracer.h"
#include "src/base/metrics.h"
#include "src/serving/gpu_metrics.h"
#include "src/serving/model_metrics.h"

namespace zeta::server {

std::shared_ptr<const http::Service> make_metrics_service(const Context& context, const Options& options) {
  auto page = std::make_shared<MetricsPage>();
  page->add(std::make_shared<serving::ModelMetrics>(context.registry));
  page->add(context.generation_metrics->collectable());
  page->add(context.tracer->collectable());
  if (options.allow_gpu_metrics) {
    page->add(std::make_shared<serving::GpuMetrics>(options.metrics_interval));
  }
  auto service = std::make_shared<http::Service>();
  service->name = "metrics";
  service->limits = options.limits;
  service->error = [](std::string_view, int status, std::string_view message) {
    return kserve::error_response(status, message);
  };
  const auto scrape = [page](http::Request&) -> http::asio::awaitable<http::Response> {
    http::Response response;
    response.body = page->text();
    response.content_type = "text/plain; version=0.0.4; charset=utf-8";
    co_return response;
  };
  service->router.add("GET", "/metrics", scrape, http::WhenFull::kAnswer);
  return service;
}

}  // namespace zeta::server
