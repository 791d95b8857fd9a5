// From a model's description to one that answers.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "src/base/mutex.h"
#include "src/serving/backend.h"
#include "src/serving/repository.h"
#include "src/serving/served_model.h"

namespace zeta::serving {

// One version of a model, ready to answer.
struct LoadedModel {
  std::shared_ptr<ServedModel> model;
  std::shared_ptr<const inference::ModelConfig> config;  // complete
};

// Thread-safe. Outlives every model that it has loaded.
class ModelLoader {
 public:
  // Settings for the models of a backend, by backend name; a model's own parameters stand before them.
  using BackendSettings = std::map<std::string, Parameters>;

  ModelLoader(std::string backend_directory, BackendSettings settings);

  // Blocks until `version`, one of the description's, can answer. A status says what is wrong and where.
  absl::StatusOr<LoadedModel> load(const ModelDescription& description, int64_t version)
      ZETA_EXCLUDES(backend_mutex_);

 private:
  struct Scheduled {
    std::unique_ptr<Model> model;
    std::shared_ptr<Statistics> statistics;  // null: the backend schedules its requests itself
  };

  absl::StatusOr<Backend*> backend(const std::string& name) ZETA_EXCLUDES(backend_mutex_);
  ModelSource source(const ModelDescription& description, int64_t version) const;
  absl::StatusOr<Scheduled> load_one(const ModelDescription& description, int64_t version)
      ZETA_EXCLUDES(backend_mutex_);
  absl::StatusOr<LoadedModel> load_complete(const ModelDescription& description, int64_t version)
      ZETA_EXCLUDES(backend_mutex_);

  const std::string backend_directory_;
  const BackendSettings settings_;
  Mutex backend_mutex_;
  std::map<std::string, std::unique_ptr<Backend>> backends_ ZETA_GUARDED_BY(backend_mutex_);
};

}  // namespace zeta::serving
