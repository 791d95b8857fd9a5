#include "src/serving/registry.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <thread>
#include <utility>

#include "src/base/concat.h"
#include "src/base/log.h"
#include "src/serving/backend_library.h"

namespace zeta::serving {

std::string_view model_state_name(ModelState state) {
  switch (state) {
    case ModelState::kLoading:
      return "LOADING";
    case ModelState::kReady:
      return "READY";
    case ModelState::kUnavailable:
      return "UNAVAILABLE";
  }
  return "";
}

ModelRegistry::ModelRegistry(std::string backend_directory, BackendSettings settings)
    : backend_directory_(std::move(backend_directory)), settings_(std::move(settings)) {}

absl::Status ModelRegistry::add(ModelDescription description) {
  if (const auto settings = settings_.find(description.backend); settings != settings_.end()) {
    description.source.parameters = settings->second;
  }
  MutexLock lock(mutex_);
  const std::string name = description.source.name;
  const auto [entry, is_new] = entries_.try_emplace(name);
  if (!is_new) {
    return absl::AlreadyExistsError(concat("two models are named '", name,
                                           "': ", entry->second.description.source.folder, " and ",
                                           description.source.folder));
  }
  entry->second.description = std::move(description);
  return absl::OkStatus();
}

void ModelRegistry::load_all(size_t threads) {
  std::vector<std::string> names;
  for (const ModelStatus& status : index()) names.push_back(status.name);
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i = next++; i < names.size(); i = next++) load(names[i]);
  };
  std::vector<std::jthread> helpers;
  for (size_t i = 1; i < std::min(threads, names.size()); ++i) helpers.emplace_back(work);
  work();
}

void ModelRegistry::load(const std::string& name) {
  ModelDescription description;
  {
    MutexLock lock(mutex_);
    description = entries_.find(name)->second.description;
  }
  auto model = load_model(description);
  const bool loaded = model.ok();
  if (loaded) {
    log::info("model loaded", {{"model", name},
                               {"version", description.source.version},
                               {"backend", description.backend},
                               {"seconds", (*model)->load_seconds()}});
    const std::string& notice = (*model)->metadata().notice;
    if (!notice.empty()) log::warning("model has a notice", {{"model", name}, {"notice", notice}});
  } else {
    log::error("model cannot be loaded",
               {{"model", name}, {"reason", std::string(model.status().message())}});
  }
  MutexLock lock(mutex_);
  const auto entry = entries_.find(name);
  if (entry == entries_.end()) return;  // unloaded meanwhile
  entry->second.state = loaded ? ModelState::kReady : ModelState::kUnavailable;
  if (loaded) {
    entry->second.model = *std::move(model);
  } else {
    entry->second.reason = std::string(model.status().message());
  }
}

absl::StatusOr<std::shared_ptr<ServedModel>> ModelRegistry::load_model(const ModelDescription& description) {
  if (!description.status.ok()) return description.status;
  const auto maker = backend(description.backend);
  if (!maker.ok()) return maker.status();
  const auto start = std::chrono::steady_clock::now();
  try {
    auto model = (*maker)->load(description.source);
    if (!model.ok()) return model.status();
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    ModelMetadata metadata = (*model)->metadata();
    metadata.name = description.source.name;
    metadata.version = description.source.version;
    return std::make_shared<ServedModel>(std::move(metadata), *std::move(model), elapsed.count());
  } catch (const std::exception& error) {
    return absl::InternalError(
        concat("backend '", description.backend, "' failed to load it: ", error.what()));
  }
}

absl::StatusOr<Backend*> ModelRegistry::backend(const std::string& name) {
  MutexLock lock(backend_mutex_);
  if (const auto found = backends_.find(name); found != backends_.end()) return found->second.get();
  auto opened = open_backend(backend_directory_, name);
  if (!opened.ok()) return opened.status();
  return backends_.emplace(name, *std::move(opened)).first->second.get();
}

absl::StatusOr<std::shared_ptr<ServedModel>> ModelRegistry::find(std::string_view name,
                                                                 std::string_view version) const {
  MutexLock lock(mutex_);
  const auto entry = entries_.find(name);
  if (entry == entries_.end()) {
    return absl::NotFoundError(concat("Request for unknown model: '", name, "' is not found"));
  }
  const std::string& loaded = entry->second.description.source.version;
  if (!version.empty() && version != loaded) {
    return absl::NotFoundError(
        concat("Request for unknown model: '", name, "' version ", version, " is not found"));
  }
  if (entry->second.state == ModelState::kReady) return entry->second.model;
  if (entry->second.state == ModelState::kLoading || !version.empty()) {
    return absl::UnavailableError(
        concat("Request for unknown model: '", name, "' version ", loaded, " is not at ready state"));
  }
  return absl::NotFoundError(concat("Request for unknown model: '", name, "' has no available versions"));
}

std::vector<ModelStatus> ModelRegistry::index() const {
  MutexLock lock(mutex_);
  std::vector<ModelStatus> statuses;
  statuses.reserve(entries_.size());
  for (const auto& [name, entry] : entries_) {
    statuses.push_back(
        {name, entry.description.source.version, entry.description.backend, entry.state, entry.reason});
  }
  return statuses;
}

std::vector<std::shared_ptr<ServedModel>> ModelRegistry::ready_models() const {
  MutexLock lock(mutex_);
  std::vector<std::shared_ptr<ServedModel>> models;
  for (const auto& [name, entry] : entries_) {
    if (entry.state == ModelState::kReady) models.push_back(entry.model);
  }
  return models;
}

bool ModelRegistry::ready() const {
  MutexLock lock(mutex_);
  return !closed_ && std::ranges::all_of(entries_, [](const auto& named) {
    return named.second.state == ModelState::kReady;
  });
}

void ModelRegistry::close() {
  MutexLock lock(mutex_);
  closed_ = true;
}

void ModelRegistry::unload_all() {
  std::map<std::string, Entry, std::less<>> dropped;  // destroyed without the lock: models may take long
  MutexLock lock(mutex_);
  dropped.swap(entries_);
}

}  // namespace zeta::serving
