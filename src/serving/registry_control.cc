// How models come and go.
#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>

#include "src/base/concat.h"
#include "src/base/log.h"
#include "src/serving/registry.h"
#include "src/serving/registry_turn.h"

namespace zeta::serving {
namespace {

absl::Status refuse_control() {
  return absl::UnavailableError("explicit model load / unload is not allowed if polling is enabled");
}

absl::Status poll_failed(std::string_view name, std::string_view reason) {
  return absl::InternalError(concat("failed to load '", name, "', failed to poll from model repository",
                                    reason.empty() ? "" : ": ", reason));
}

void report(const ServedModel& model, const inference::ModelConfig& config) {
  const ModelMetadata& metadata = model.metadata();
  log::info("model loaded", {{"model", metadata.name},
                             {"version", metadata.version},
                             {"backend", config.backend().empty() ? config.platform() : config.backend()},
                             {"seconds", model.load_seconds()}});
  if (metadata.notice.empty()) return;
  log::warning("model has a notice", {{"model", metadata.name}, {"notice", metadata.notice}});
}

}  // namespace

void ModelRegistry::load_all(size_t threads) {
  std::vector<ModelDescription> models;
  std::vector<std::string> ensembles;  // after all else
  {
    MutexLock lock(mutex_);
    for (const auto& entry : entries_) models.push_back(entry.second.description);
  }
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i = next++; i < models.size(); i = next++) {
      const Turn turn(*this, models[i].name);
      const bool fetched = models[i].remote == nullptr || !models[i].folder.empty();
      if (!fetched) models[i] = describe_remote_model(models[i].name, models[i].remote);
      if (models[i].config.has_ensemble_scheduling()) {
        MutexLock lock(mutex_);
        entries_[models[i].name].description = models[i];
        ensembles.push_back(models[i].name);
      } else {
        const absl::Status ignored = apply(models[i]);  // told by its state and in the log
      }
    }
  };
  {
    std::vector<std::jthread> helpers;
    for (size_t i = 1; i < std::min(threads, models.size()); ++i) helpers.emplace_back(work);
    work();
  }
  for (const std::string& name : ensembles) {
    if (!needs_loading(name)) continue;  // loaded for another
    const auto ensemble = describe_member(name);
    if (!ensemble) continue;
    const absl::Status ignored = load_ensemble(*ensemble);
  }
  MutexLock lock(mutex_);
  started_ = true;
}

absl::Status ModelRegistry::load(std::string_view name, const LoadOverrides& overrides) {
  if (options_.control != ModelControl::kExplicit) return refuse_control();
  const Place place = locate(std::string(name));
  if (place.empty() && overrides.files.empty()) return poll_failed(name, "");
  ModelDescription description = describe(std::string(name), place, overrides);
  if (!description.status.ok()) return poll_failed(name, std::string(description.status.message()));
  if (!overrides.empty()) description.fingerprint.clear();  // its files will be news again
  if (is_loaded(description)) {
    note_request(name);
    return absl::OkStatus();
  }
  absl::Status status = load_one(description);
  note_request(name);
  renew_ensembles_of(description.name);
  return status;
}

absl::Status ModelRegistry::load_one(const ModelDescription& description) {
  if (description.config.has_ensemble_scheduling()) return load_ensemble(description);
  const Turn turn(*this, description.name);
  if (is_loaded(description) || change_instances(description)) return absl::OkStatus();
  return apply(description);
}

bool ModelRegistry::change_instances(const ModelDescription& description) {
  const auto shape_of = [](inference::ModelConfig config) {
    config.clear_instance_group();
    return config;
  };
  std::map<int64_t, LoadedModel> loaded;
  {
    MutexLock lock(mutex_);
    const auto entry = entries_.find(description.name);
    if (entry == entries_.end() || !description.status.ok() || description.content.empty()) return false;
    const ModelDescription& before = entry->second.description;
    using google::protobuf::util::MessageDifferencer;
    const bool same = before.content == description.content && before.versions == description.versions &&
                      !description.config.has_sequence_batching() &&
                      MessageDifferencer::Equals(shape_of(before.config), shape_of(description.config)) &&
                      !MessageDifferencer::Equals(before.config, description.config);
    if (!same) return false;
    for (const auto& [number, version] : entry->second.versions) {
      if (version.state == ModelState::kReady) loaded[number] = version.loaded;
    }
    const bool all = std::ranges::all_of(description.versions, [&](const auto& numbered) {
      const auto found = loaded.find(numbered.first);
      return found != loaded.end() && found->second.scheduled != nullptr;
    });
    if (!all || loaded.size() != description.versions.size()) return false;
  }
  for (auto& [number, model] : loaded) {
    auto changed = loader_.change_instances(model, description);
    if (!changed.ok()) return false;  // loading it anew says why, and keeps what is there
    model = *std::move(changed);
  }
  MutexLock lock(mutex_);
  const auto entry = entries_.find(description.name);
  if (ended_ || entry == entries_.end()) return true;
  for (auto& [number, model] : loaded) entry->second.versions[number].loaded = std::move(model);
  entry->second.description = description;
  log::info("model instances changed", {{"model", description.name}});
  return true;
}

// It stays when an ensemble goes that is made of it.
void ModelRegistry::note_request(std::string_view name) {
  MutexLock lock(mutex_);
  const auto entry = entries_.find(name);
  if (entry != entries_.end()) entry->second.by_request = true;
}

absl::Status ModelRegistry::unload(std::string_view name, bool unload_dependents) {
  if (options_.control != ModelControl::kExplicit) return refuse_control();
  ModelDescription unloaded;
  {
    const Turn turn(*this, name);
    retire_all(name);
    MutexLock lock(mutex_);
    const auto entry = entries_.find(name);
    if (entry == entries_.end()) return absl::OkStatus();
    unloaded = entry->second.description;
  }
  renew_ensembles_of(unloaded.name);
  if (unload_dependents) unload_members(unloaded);
  return absl::OkStatus();
}

bool ModelRegistry::is_loaded(const ModelDescription& description) const {
  MutexLock lock(mutex_);
  const auto entry = entries_.find(description.name);
  if (entry == entries_.end() || description.fingerprint.empty()) return false;
  if (entry->second.description.fingerprint != description.fingerprint) return false;
  // Not those of before, which stay UNLOADING.
  const auto& versions = entry->second.versions;
  return !description.versions.empty() &&
         std::ranges::all_of(description.versions, [&](const auto& numbered) {
           const auto found = versions.find(numbered.first);
           return found != versions.end() && found->second.state == ModelState::kReady;
         });
}

// A poll tries again when the files change, a request to load always.
std::string ModelRegistry::fingerprint_of_failure(const ModelDescription& description) const {
  return options_.control == ModelControl::kPoll ? description.fingerprint : "";
}

// Shows as LOADING what was not there before.
void ModelRegistry::announce(const ModelDescription& description) {
  MutexLock lock(mutex_);
  if (ended_) return;
  Entry& entry = entries_[description.name];
  entry.wanted = true;
  for (const auto& [number, folder] : description.versions) {
    Version& version = entry.versions[number];
    if (version.state != ModelState::kReady) version = {};
  }
}

absl::Status ModelRegistry::apply(ModelDescription description) {
  absl::Status status = description.status;
  if (status.ok() && description.versions.empty()) {
    status = absl::InvalidArgumentError(
        concat("at least one version must be available under the version policy of ", "model '",
               description.name, "'"));
  }
  if (!status.ok()) return refuse(description, status);
  announce(description);
  Results results;
  std::string failures;
  for (const auto& [number, folder] : description.versions) {
    const auto& result = results.emplace(number, loader_.load(description, number)).first->second;
    if (result.ok()) {
      report(*result->model, description.config);
      continue;
    }
    failures += concat("version ", number, " is at UNAVAILABLE state: ", reason_text(result.status()), ";");
    log::error("model cannot be loaded", {{"model", description.name},
                                          {"version", number},
                                          {"reason", std::string(result.status().message())}});
  }
  Retired retired(releaser_);
  {
    MutexLock lock(mutex_);
    if (ended_) return absl::UnavailableError("the server is shutting down");
    Entry& entry = entries_[description.name];
    const bool keep_old = !failures.empty() && std::ranges::any_of(entry.versions, [](const auto& numbered) {
      return numbered.second.state == ModelState::kReady;
    });
    install(entry, results, keep_old, retired);
    if (keep_old) {
      entry.description.fingerprint = fingerprint_of_failure(description);
    } else {
      entry.description = description;
    }
  }
  if (failures.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      concat("load failed for model '", description.name, "': ", failures, "\n"));
}

absl::Status ModelRegistry::refuse(const ModelDescription& description, const absl::Status& status) {
  fail(description, status);
  return absl::InvalidArgumentError(
      concat("load failed for model '", description.name, "': ", std::string(status.message()), "\n"));
}

void ModelRegistry::install(Entry& entry, const Results& results, bool keep_old, Retired& retired) {
  entry.waits_for_members = false;
  if (!keep_old) {
    for (auto& [number, version] : entry.versions) {
      if (!results.contains(number) && version.state == ModelState::kReady) retire(version, retired);
    }
    std::erase_if(entry.versions, [&](const auto& numbered) {
      return !results.contains(numbered.first) && numbered.second.state != ModelState::kUnloading;
    });
  }
  for (const auto& [number, result] : results) {
    Version& version = entry.versions[number];
    if (keep_old && version.state == ModelState::kReady) continue;
    if (version.state == ModelState::kReady) retire(version, retired);
    version = {};
    if (result.ok() && !keep_old) {
      version.state = ModelState::kReady;
      version.loaded = *result;
      continue;
    }
    version.state = ModelState::kUnavailable;
    version.reason = result.ok() ? "another version could not be loaded" : reason_text(result.status());
  }
}

void ModelRegistry::retire(Version& version, Retired& retired) {
  version.leaving = version.loaded.model;
  retired.add(std::exchange(version.loaded, {}));
  version.state = ModelState::kUnloading;
}

// What was loaded before goes on.
void ModelRegistry::fail(const ModelDescription& description, const absl::Status& status) {
  log::error("model cannot be loaded",
             {{"model", description.name}, {"reason", std::string(status.message())}});
  MutexLock lock(mutex_);
  if (ended_) return;
  Entry& entry = entries_[description.name];
  if (entry.description.name.empty()) entry.description = description;
  entry.description.fingerprint = fingerprint_of_failure(description);
  const bool serves = std::ranges::any_of(
      entry.versions, [](const auto& numbered) { return numbered.second.state == ModelState::kReady; });
  if (serves) return;
  const int64_t number = description.versions.empty() ? 1 : description.versions.rbegin()->first;
  entry.versions[number] = {};
  for (auto& [ignored, version] : entry.versions) {
    if (version.state != ModelState::kLoading) continue;
    version.state = ModelState::kUnavailable;
    version.reason = reason_text(status);
  }
}

void ModelRegistry::retire_all(std::string_view name) {
  Retired retired(releaser_);
  MutexLock lock(mutex_);
  const auto entry = entries_.find(name);
  if (entry == entries_.end()) return;
  entry->second.wanted = false;
  entry->second.description.keep.reset();  // files that were fetched for it
  for (auto& [number, version] : entry->second.versions) {
    if (version.state == ModelState::kReady) retire(version, retired);
  }
  if (!retired.empty()) log::info("model unloaded", {{"model", std::string(name)}});
}

}  // namespace zeta::serving
