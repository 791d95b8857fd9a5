// The models of a server and what state each is in.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/base/mutex.h"
#include "src/serving/repository.h"
#include "src/serving/served_model.h"

namespace zeta::serving {

enum class ModelState { kLoading, kReady, kUnavailable };

// "LOADING", "READY", "UNAVAILABLE".
std::string_view model_state_name(ModelState state);

struct ModelStatus {
  std::string name;
  std::string version;
  std::string backend;
  ModelState state;
  std::string reason;  // why it is unavailable
};

// Thread-safe.
class ModelRegistry {
 public:
  // Settings for the models of a backend, by backend name; they go to ModelSource::parameters.
  using BackendSettings = std::map<std::string, Parameters>;

  ModelRegistry(std::string backend_directory, BackendSettings settings);

  // AlreadyExists when there is a model of that name, naming both folders.
  absl::Status add(ModelDescription description) ZETA_EXCLUDES(mutex_);

  // Loads what was added, up to `threads` models at once, and returns when each is READY or UNAVAILABLE.
  void load_all(size_t threads) ZETA_EXCLUDES(mutex_, backend_mutex_);

  // The model to answer a request; `version` "" means the one that is loaded. NotFound and Unavailable carry
  // Triton's texts.
  absl::StatusOr<std::shared_ptr<ServedModel>> find(std::string_view name, std::string_view version) const
      ZETA_EXCLUDES(mutex_);

  // Every model, ordered by name.
  std::vector<ModelStatus> index() const ZETA_EXCLUDES(mutex_);
  std::vector<std::shared_ptr<ServedModel>> ready_models() const ZETA_EXCLUDES(mutex_);

  // Whether every model is READY and close() was not called.
  bool ready() const ZETA_EXCLUDES(mutex_);
  // Not ready from now on, though requests are still answered: the first step of an orderly end.
  void close() ZETA_EXCLUDES(mutex_);
  // Forgets the models; each is destroyed when the last request to it is done.
  void unload_all() ZETA_EXCLUDES(mutex_);

 private:
  struct Entry {
    ModelDescription description;
    ModelState state = ModelState::kLoading;
    std::string reason;
    std::shared_ptr<ServedModel> model;
  };

  void load(const std::string& name) ZETA_EXCLUDES(mutex_, backend_mutex_);
  absl::StatusOr<std::shared_ptr<ServedModel>> load_model(const ModelDescription& description)
      ZETA_EXCLUDES(mutex_, backend_mutex_);
  absl::StatusOr<Backend*> backend(const std::string& name) ZETA_EXCLUDES(backend_mutex_);

  const std::string backend_directory_;
  const BackendSettings settings_;

  // Outlive the models, which they made.
  Mutex backend_mutex_;
  std::map<std::string, std::unique_ptr<Backend>> backends_ ZETA_GUARDED_BY(backend_mutex_);

  mutable Mutex mutex_;
  std::map<std::string, Entry, std::less<>> entries_ ZETA_GUARDED_BY(mutex_);
  bool closed_ ZETA_GUARDED_BY(mutex_) = false;
};

}  // namespace zeta::serving
