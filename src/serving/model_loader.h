// From a model's description to one that answers.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "src/base/mutex.h"
#include "src/serving/backend.h"
#include "src/serving/ensemble/members.h"
#include "src/serving/repository.h"
#include "src/serving/response_cache.h"
#include "src/serving/scheduling/rate_limiter.h"
#include "src/serving/scheduling/scheduled_model.h"
#include "src/serving/served_model.h"

namespace zeta::serving {

// One version of a model, ready to answer.
struct LoadedModel {
  std::shared_ptr<ServedModel> model;
  std::shared_ptr<const inference::ModelConfig> config;  // complete
  ScheduledModel* scheduled = nullptr;  // within `model`; null: the server does not schedule it
};

// Thread-safe. Outlives every model that it has loaded.
class ModelLoader {
 public:
  // Settings for the models of a backend, by backend name; a model's own parameters stand before them.
  using BackendSettings = std::map<std::string, Parameters>;

  // What models share.
  struct Shared {
    std::shared_ptr<const EnsembleMembers> members;
    std::shared_ptr<ResponseCache> cache;  // null: no responses are kept
    std::shared_ptr<RateLimiter> limiter;  // null: no rates are limited
  };

  ModelLoader(std::string backend_directory, BackendSettings settings, Shared shared);

  // Blocks until `version`, one of the description's, can answer. A status says what is wrong and where.
  absl::StatusOr<LoadedModel> load(const ModelDescription& description, int64_t version)
      ZETA_EXCLUDES(backend_mutex_);

  // Gives a loaded model the instances that `description` has; all else of it is as before. A status leaves
  // the model as it was. REQUIRES: loaded.scheduled.
  absl::StatusOr<LoadedModel> change_instances(const LoadedModel& loaded,
                                               const ModelDescription& description) const;

 private:
  struct Scheduled {
    std::unique_ptr<Model> model;
    ScheduledModel* scheduled = nullptr;     // `model`, where the server schedules it
    std::shared_ptr<Statistics> statistics;  // null: the backend schedules its requests itself
  };

  absl::StatusOr<Backend*> backend(const std::string& name) ZETA_EXCLUDES(backend_mutex_);
  absl::StatusOr<Scheduled> load_ensemble(const ModelDescription& description, int64_t version) const;
  ModelSource source(const ModelDescription& description, int64_t version) const;
  absl::StatusOr<Scheduled> load_one(const ModelDescription& description, int64_t version)
      ZETA_EXCLUDES(backend_mutex_);
  absl::StatusOr<LoadedModel> load_complete(const ModelDescription& description, int64_t version)
      ZETA_EXCLUDES(backend_mutex_);

  const std::string backend_directory_;
  const BackendSettings settings_;
  const Shared shared_;
  Mutex backend_mutex_;
  std::map<std::string, std::unique_ptr<Backend>> backends_ ZETA_GUARDED_BY(backend_mutex_);
};

}  // namespace zeta::serving
