#include "src/serving/model_loader.h"

#include <chrono>
#include <exception>
#include <utility>

#include "src/base/concat.h"
#include "src/serving/backend_library.h"
#include "src/serving/ensemble/check_members.h"
#include "src/serving/ensemble/ensemble_model.h"
#include "src/serving/model_config/check.h"
#include "src/serving/model_config/complete.h"
#include "src/serving/model_config/cuda_options.h"
#include "src/serving/model_config/model_files.h"
#include "src/serving/model_config/policy.h"
#include "src/serving/model_config/supported.h"
#include "src/serving/scheduling/scheduled_model.h"

namespace zeta::serving {
namespace {

absl::Status read_label_files(const ModelDescription& description, ModelMetadata& metadata) {
  for (int i = 0; i < description.config.output_size(); ++i) {
    const std::string& file = description.config.output(i).label_filename();
    if (file.empty()) continue;
    auto labels = read_labels(description.folder, file);
    if (!labels.ok()) return labels.status();
    metadata.outputs[static_cast<size_t>(i)].labels = *std::move(labels);
  }
  return absl::OkStatus();
}

// As in Triton, a model may ask for what then has no effect; whoever runs the server is told.
bool keeps_responses(const inference::ModelConfig& config, bool has_cache, std::string& notice) {
  if (!config.response_cache().enable()) return false;
  if (has_cache && !config.has_sequence_batching()) return true;
  notice += concat(notice.empty() ? "" : "; ", "response_cache has no effect ",
                   has_cache ? "on a model with sequence_batching" : "without --cache-config");
  return false;
}

}  // namespace

ModelLoader::ModelLoader(std::string backend_directory, BackendSettings settings, Shared shared)
    : backend_directory_(std::move(backend_directory)),
      settings_(std::move(settings)),
      shared_(std::move(shared)) {}

absl::StatusOr<LoadedModel> ModelLoader::load(const ModelDescription& description, int64_t version) {
  try {
    return load_complete(description, version);
  } catch (const std::exception& error) {
    return absl::InternalError(
        concat("backend '", description.config.backend(), "' failed to load it: ", error.what()));
  }
}

absl::StatusOr<LoadedModel> ModelLoader::load_complete(const ModelDescription& description, int64_t version) {
  if (absl::Status status = check_tensors(description.config); !status.ok()) return status;
  const auto start = std::chrono::steady_clock::now();
  auto loaded = load_one(description, version);
  if (!loaded.ok()) return loaded.status();
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;

  const ModelMetadata& own = loaded->model->metadata();
  auto config = std::make_shared<inference::ModelConfig>(description.config);
  absl::Status status = complete_model_config(own, *config);
  if (config->has_ensemble_scheduling() && config->has_model_transaction_policy()) {
    config->mutable_model_transaction_policy()->set_decoupled(own.decoupled);  // as its members are
  }
  if (status.ok()) status = check_response_cache(*config);
  if (status.ok()) status = check_tensors(*config);
  if (!status.ok()) return status;
  ModelMetadata metadata = client_metadata(*config, std::to_string(version));
  metadata.notice = loaded->model->notice();
  const bool keeps = keeps_responses(*config, shared_.cache != nullptr, metadata.notice);
  if (status = read_label_files(description, metadata); !status.ok()) return status;
  auto model = std::make_shared<ServedModel>(std::move(metadata), std::move(loaded->model), elapsed.count(),
                                             std::move(loaded->statistics), keeps ? shared_.cache : nullptr);
  return LoadedModel{std::move(model), std::move(config), loaded->scheduled};
}

absl::StatusOr<LoadedModel> ModelLoader::change_instances(const LoadedModel& loaded,
                                                          const ModelDescription& description) const {
  const auto policy = scheduling_policy(description.config, description.folder);
  if (!policy.ok()) return policy.status();
  if (absl::Status status = check_policy(description.name, *policy); !status.ok()) return status;
  absl::Status status = loaded.scheduled->set_instances(policy->instance_groups);
  if (!status.ok()) return status;
  auto config = std::make_shared<inference::ModelConfig>(*loaded.config);
  *config->mutable_instance_group() = description.config.instance_group();
  return LoadedModel{loaded.model, std::move(config), loaded.scheduled};
}

absl::StatusOr<ModelLoader::Scheduled> ModelLoader::load_one(const ModelDescription& description,
                                                             int64_t version) {
  if (description.config.has_ensemble_scheduling()) return load_ensemble(description, version);
  const auto maker = backend(description.config.backend());
  if (!maker.ok()) return maker.status();
  auto policy = scheduling_policy(description.config, description.folder);
  if (!policy.ok()) return policy.status();
  const ModelSource from = source(description, version);
  auto executable = (*maker)->load_executable(from);
  if (!executable.ok()) return executable.status();
  if (*executable != nullptr) {
    auto statistics = std::make_shared<Statistics>(/*is_scheduled=*/true);
    auto scheduled =
        ScheduledModel::create(*std::move(executable), *std::move(policy), statistics, shared_.limiter);
    if (!scheduled.ok()) return scheduled.status();
    ScheduledModel* const model = scheduled->get();
    return Scheduled{*std::move(scheduled), model, std::move(statistics)};
  }
  if (absl::Status status = check_self_scheduled(description.config); !status.ok()) return status;
  auto model = (*maker)->load(from);
  if (!model.ok()) return model.status();
  return Scheduled{*std::move(model), nullptr, nullptr};
}

absl::StatusOr<ModelLoader::Scheduled> ModelLoader::load_ensemble(const ModelDescription& description,
                                                                  int64_t version) const {
  const auto decoupled = check_ensemble_members(description.config, *shared_.members);
  if (!decoupled.ok()) return decoupled.status();
  ModelMetadata metadata = client_metadata(description.config, std::to_string(version));
  metadata.decoupled = *decoupled;
  auto statistics = std::make_shared<Statistics>(/*is_scheduled=*/true);
  auto model = std::make_unique<EnsembleModel>(ensemble_plan(description.config), std::move(metadata),
                                               shared_.members, statistics);
  return Scheduled{std::move(model), nullptr, std::move(statistics)};
}

ModelSource ModelLoader::source(const ModelDescription& description, int64_t version) const {
  const inference::ModelConfig& config = description.config;
  ModelSource source;
  source.name = description.name;
  source.version = std::to_string(version);
  source.folder = description.versions.at(version);
  source.file = config.default_model_filename();
  source.max_batch_size = config.max_batch_size();
  source.inputs = model_inputs(config);
  source.outputs = model_outputs(config);
  source.cuda = cuda_options(config);
  for (const auto& [key, value] : config.parameters()) source.parameters[key] = value.string_value();
  const auto settings = settings_.find(config.backend());
  if (settings != settings_.end()) source.parameters.insert(settings->second.begin(), settings->second.end());
  return source;
}

absl::StatusOr<Backend*> ModelLoader::backend(const std::string& name) {
  MutexLock lock(backend_mutex_);
  if (const auto found = backends_.find(name); found != backends_.end()) return found->second.get();
  auto opened = open_backend(backend_directory_, name);
  if (!opened.ok()) return opened.status();
  return backends_.emplace(name, *std::move(opened)).first->second.get();
}

}  // namespace zeta::serving
