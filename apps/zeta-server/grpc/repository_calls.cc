#include <string>
#include <utility>

#include "apps/zeta-server/grpc/model_calls.h"
#include "apps/zeta-server/grpc/received_call.h"
#include "apps/zeta-server/model_version.h"
#include "src/base/concat.h"

namespace zeta::server::grpc_api {
namespace {

template <class... Parts>
absl::Status invalid(const Parts&... parts) {
  return absl::InvalidArgumentError(concat(parts...));
}

absl::Status repository_name_refused() {
  return absl::UnimplementedError("'repository_name' specification is not supported");
}

void describe(const serving::DurationTotal& total, inference::StatisticDuration& described) {
  described.set_count(total.count);
  described.set_ns(total.ns);
}

void describe(const serving::StatisticsSnapshot& figures, inference::InferStatistics& described) {
  describe(figures.success, *described.mutable_success());
  describe(figures.fail, *described.mutable_fail());
  describe(figures.queue, *described.mutable_queue());
  describe(figures.compute_input, *described.mutable_compute_input());
  describe(figures.compute_infer, *described.mutable_compute_infer());
  describe(figures.compute_output, *described.mutable_compute_output());
  describe(figures.cache_hit, *described.mutable_cache_hit());
  describe(figures.cache_miss, *described.mutable_cache_miss());
}

void describe(const serving::ServedModel& model, inference::ModelStatistics& described) {
  const serving::StatisticsSnapshot figures = model.statistics();
  described.set_name(model.metadata().name);
  described.set_version(model.metadata().version);
  described.set_last_inference(figures.last_inference_ms);
  described.set_inference_count(figures.inference_count);
  described.set_execution_count(figures.execution_count);
  describe(figures, *described.mutable_inference_stats());
  for (const auto& [size, totals] : figures.batches) {
    auto& batch = *described.add_batch_stats();
    batch.set_batch_size(static_cast<uint64_t>(size));
    describe(totals.compute_input, *batch.mutable_compute_input());
    describe(totals.compute_infer, *batch.mutable_compute_infer());
    describe(totals.compute_output, *batch.mutable_compute_output());
  }
}

absl::StatusOr<serving::LoadOverrides> read_overrides(const inference::RepositoryModelLoadRequest& request) {
  serving::LoadOverrides overrides;
  constexpr std::string_view kFile = "file:";
  for (const auto& [name, value] : request.parameters()) {
    if (name == "config") {
      if (!value.has_string_param()) {
        return invalid("invalid value type for load parameter '", name, "', expected string_param.");
      }
      overrides.config_json = value.string_param();
    } else if (name.starts_with(kFile)) {
      if (!value.has_bytes_param()) {
        return invalid("invalid value type for load parameter '", name, "', expected bytes_param.");
      }
      overrides.files[name.substr(kFile.size())] = value.bytes_param();
    } else {
      return invalid("unrecognized load parameter '", name, "': expected 'config' or 'file:PATH'");
    }
  }
  return overrides;
}

}  // namespace

absl::Status model_config(const CallContext& call, const inference::ModelConfigRequest& request,
                          inference::ModelConfigResponse& response) {
  if (absl::Status status = check_version(request.version()); !status.ok()) return status;
  const auto config = call.server->registry->config(request.name(), request.version());
  if (!config.ok()) return config.status();
  *response.mutable_config() = **config;
  return absl::OkStatus();
}

absl::Status model_statistics(const CallContext& call, const inference::ModelStatisticsRequest& request,
                              inference::ModelStatisticsResponse& response) {
  if (absl::Status status = check_version(request.version()); !status.ok()) return status;
  const auto models = call.server->registry->models(request.name(), request.version());
  if (!models.ok()) return models.status();
  for (const auto& model : *models) describe(*model, *response.add_model_stats());
  return absl::OkStatus();
}

absl::Status load_model(const CallContext& call, const inference::RepositoryModelLoadRequest& request) {
  if (!request.repository_name().empty()) return repository_name_refused();
  const auto overrides = read_overrides(request);
  if (!overrides.ok()) return overrides.status();
  return call.server->registry->load(request.model_name(), *overrides);
}

absl::Status unload_model(const CallContext& call, const inference::RepositoryModelUnloadRequest& request) {
  if (!request.repository_name().empty()) return repository_name_refused();
  bool dependents = false;
  for (const auto& [name, value] : request.parameters()) {
    if (name != "unload_dependents" || !value.has_bool_param()) {
      return invalid("unload parameter '", name, "': expected 'unload_dependents', a bool_param");
    }
    dependents = value.bool_param();
  }
  return call.server->registry->unload(request.model_name(), dependents);
}

}  // namespace zeta::server::grpc_api
