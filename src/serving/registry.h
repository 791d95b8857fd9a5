// The models of a server, what state each is in, and how they come and go while requests are answered.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/base/mutex.h"
#include "src/serving/model_loader.h"
#include "src/serving/model_releaser.h"
#include "src/serving/model_state.h"
#include "src/serving/registry_members.h"
#include "src/serving/remote_repository.h"
#include "src/serving/repository.h"
#include "src/serving/served_model.h"

namespace zeta::serving {

// Who decides what is loaded: nobody after the start, the load and unload requests, or what the repositories
// hold.
enum class ModelControl { kNone, kExplicit, kPoll };

struct RegistryOptions {
  ModelControl control = ModelControl::kNone;
  std::vector<std::string> repositories;                     // where load and poll look for models
  std::vector<std::shared_ptr<RemoteRepository>> remotes{};  // likewise
  std::shared_ptr<ResponseCache> response_cache{};           // null: none
  std::shared_ptr<RateLimiter> rate_limiter{};               // null: none
  bool strict_readiness = true;  // ready only while every model that is wanted is READY
};

// Thread-safe. A request that has found its model keeps it: a model that is unloaded or replaced goes when
// its last request is done, and a new one is found only when all of its versions can answer.
class ModelRegistry {
 public:
  using BackendSettings = ModelLoader::BackendSettings;

  ModelRegistry(std::string backend_directory, BackendSettings settings, RegistryOptions options = {});
  ~ModelRegistry();  // waits for models that were unloaded and are still in use

  // A model to be loaded at the start. AlreadyExists when there is one of that name, naming both folders.
  absl::Status add(ModelDescription description) ZETA_EXCLUDES(mutex_);
  // Loads what was added, up to `threads` models at once, and returns when each is READY or UNAVAILABLE.
  void load_all(size_t threads) ZETA_EXCLUDES(mutex_);

  // Loads a model of the repositories, or loads it anew when it or `overrides` are new; blocks. On failure
  // what was loaded before goes on. Unavailable unless control is explicit, Internal when its files or
  // configuration are no model, InvalidArgument when it cannot be loaded; all in Triton's words, with the
  // reason.
  absl::Status load(std::string_view name, const LoadOverrides& overrides) ZETA_EXCLUDES(mutex_);
  // OK for a model that is not there. Of an ensemble `unload_dependents` unloads too what was loaded for it
  // alone. Ensembles that the model is part of become UNAVAILABLE until it is loaded again.
  absl::Status unload(std::string_view name, bool unload_dependents) ZETA_EXCLUDES(mutex_);
  // Loads what is new or has changed in the repositories and unloads what has gone from them; blocks.
  void poll() ZETA_EXCLUDES(mutex_);

  // The model to answer a request; `version` "" means the newest that is READY. NotFound and Unavailable
  // carry Triton's texts.
  absl::StatusOr<std::shared_ptr<ServedModel>> find(std::string_view name, std::string_view version) const
      ZETA_EXCLUDES(mutex_);
  // Its complete configuration; as find.
  absl::StatusOr<std::shared_ptr<const inference::ModelConfig>> config(std::string_view name,
                                                                       std::string_view version) const
      ZETA_EXCLUDES(mutex_);
  // Those whose statistics are asked for: `name` "": of all models, `version` "": all of them.
  // InvalidArgument in Triton's words.
  absl::StatusOr<std::vector<std::shared_ptr<ServedModel>>> models(std::string_view name,
                                                                   std::string_view version) const
      ZETA_EXCLUDES(mutex_);

  // Every version of every model, ordered by name and version; with explicit control also what the
  // repositories hold and was never loaded, without version.
  std::vector<ModelStatus> index() const ZETA_EXCLUDES(mutex_);
  std::vector<std::shared_ptr<ServedModel>> ready_models() const ZETA_EXCLUDES(mutex_);
  // READY versions of a model, ascending; as in its metadata.
  std::vector<std::string> versions(std::string_view name) const ZETA_EXCLUDES(mutex_);

  // Whether load_all is done, close() was not called and, with strict readiness, every model that was not
  // unloaded is READY.
  bool ready() const ZETA_EXCLUDES(mutex_);
  // Not ready from now on, though requests are still answered: the first step of an orderly end.
  void close() ZETA_EXCLUDES(mutex_);
  // Forgets the models; each is destroyed when the last request to it is done.
  void unload_all() ZETA_EXCLUDES(mutex_);

 private:
  struct Version {
    ModelState state = ModelState::kLoading;
    std::string reason;
    LoadedModel loaded;                  // when READY
    std::weak_ptr<ServedModel> leaving;  // when it was unloaded
  };
  struct Entry {
    ModelDescription description;
    std::string origin;  // the folder on the command line; description's may be one of overrides
    std::map<int64_t, Version> versions;
    bool wanted = true;         // not unloaded
    bool in_repository = true;  // else named on the command line
    bool by_request = false;    // else for an ensemble
    bool waits_for_members = false;
  };
  using Entries = std::map<std::string, Entry, std::less<>>;
  // Given up without the lock: models may take long to be destroyed.
  class Retired {
   public:
    explicit Retired(ModelReleaser& releaser) : releaser_(releaser) {}
    ~Retired() { releaser_.release(std::move(models_)); }
    Retired(const Retired&) = delete;
    Retired& operator=(const Retired&) = delete;
    void add(LoadedModel model) { models_.push_back(std::move(model.model)); }
    bool empty() const { return models_.empty(); }

   private:
    ModelReleaser& releaser_;
    std::vector<std::shared_ptr<ServedModel>> models_;
  };
  using Results = std::map<int64_t, absl::StatusOr<LoadedModel>>;
  class Turn;

  absl::StatusOr<const Version*> find_version(std::string_view name, std::string_view version) const
      ZETA_REQUIRES(mutex_);
  // Where a model's files are: a folder, or a repository to fetch them from; neither: nowhere, or twice.
  struct Place {
    std::string folder;
    std::shared_ptr<RemoteRepository> remote;
    bool empty() const { return folder.empty() && remote == nullptr; }
  };
  Place locate(const std::string& name) const ZETA_EXCLUDES(mutex_);
  static ModelDescription describe(const std::string& name, const Place& place,
                                   const LoadOverrides& overrides);
  bool is_loaded(const ModelDescription& description) const ZETA_EXCLUDES(mutex_);
  std::string fingerprint_of_failure(const ModelDescription& description) const;
  void announce(const ModelDescription& description) ZETA_EXCLUDES(mutex_);
  absl::Status apply(ModelDescription description) ZETA_EXCLUDES(mutex_);
  void install(Entry& entry, const Results& results, bool keep_old, Retired& retired) ZETA_REQUIRES(mutex_);
  static void retire(Version& version, Retired& retired);
  void fail(const ModelDescription& description, const absl::Status& status) ZETA_EXCLUDES(mutex_);
  void retire_all(std::string_view name) ZETA_EXCLUDES(mutex_);
  void poll_model(const std::string& name) ZETA_EXCLUDES(mutex_);

  // Whether `description` differs from what is loaded in the number or place of instances alone; applies
  // that in place.
  bool change_instances(const ModelDescription& description) ZETA_EXCLUDES(mutex_);
  absl::Status load_one(const ModelDescription& description) ZETA_EXCLUDES(mutex_);
  void note_request(std::string_view name) ZETA_EXCLUDES(mutex_);
  absl::Status refuse(const ModelDescription& description, const absl::Status& status) ZETA_EXCLUDES(mutex_);
  std::optional<ModelDescription> describe_member(const std::string& name) const ZETA_EXCLUDES(mutex_);
  bool needs_loading(const std::string& name) const ZETA_EXCLUDES(mutex_);
  // Loads what `ensemble` is made of and is not loaded. `path`: the ensembles above it.
  absl::Status load_members(const ModelDescription& ensemble, std::vector<std::string>& path)
      ZETA_EXCLUDES(mutex_);
  absl::Status check_loaded(const ModelDescription& ensemble) const ZETA_EXCLUDES(mutex_);
  absl::Status load_ensemble(const ModelDescription& ensemble) ZETA_EXCLUDES(mutex_);
  // Looks anew at the ensembles that `member` is part of, but not at those of `except`.
  void renew_ensembles_of(const std::string& member, const std::vector<std::string>& except = {})
      ZETA_EXCLUDES(mutex_);
  void renew(const std::string& name) ZETA_EXCLUDES(mutex_);
  void unload_members(const ModelDescription& ensemble) ZETA_EXCLUDES(mutex_);

  const RegistryOptions options_;
  const std::shared_ptr<RegistryMembers> members_;
  ModelLoader loader_;  // outlives the models, which its backends made
  ModelReleaser releaser_;

  mutable Mutex mutex_;
  CondVar turn_ended_;
  std::set<std::string, std::less<>> changing_ ZETA_GUARDED_BY(mutex_);  // models that are being (un)loaded
  Entries entries_ ZETA_GUARDED_BY(mutex_);
  bool started_ ZETA_GUARDED_BY(mutex_) = false;
  bool closed_ ZETA_GUARDED_BY(mutex_) = false;
  bool ended_ ZETA_GUARDED_BY(mutex_) = false;
};

}  // namespace zeta::serving
