// Where the models of repositories lie, and what has changed there.
#include <filesystem>
#include <set>
#include <system_error>

#include "src/base/log.h"
#include "src/serving/registry.h"
#include "src/serving/registry_turn.h"

namespace zeta::serving {

void ModelRegistry::poll() {
  std::set<std::string> names, known;
  for (const std::string& repository : options_.repositories) {
    const auto there = model_names(repository);
    if (!there.ok()) {
      log::warning("cannot poll", {{"reason", std::string(there.status().message())}});
      return;  // what cannot be seen has not gone
    }
    names.insert(there->begin(), there->end());
  }
  for (const auto& remote : options_.remotes) {
    const auto there = remote->model_names();
    if (!there.ok()) {
      log::warning("cannot poll",
                   {{"repository", remote->location()}, {"reason", std::string(there.status().message())}});
      return;
    }
    names.insert(there->begin(), there->end());
  }
  {
    MutexLock lock(mutex_);
    for (const auto& [name, entry] : entries_) {
      if (entry.in_repository && entry.wanted) known.insert(name);
    }
  }
  for (const std::string& name : known) {
    if (names.contains(name)) continue;
    {
      const Turn turn(*this, name);
      retire_all(name);
    }
    renew_ensembles_of(name);
  }
  for (const std::string& name : names) poll_model(name);
}

void ModelRegistry::poll_model(const std::string& name) {
  const Place place = locate(name);
  if (place.empty()) return;
  const auto is_known = [&](const std::string& fingerprint) {
    MutexLock lock(mutex_);
    const auto entry = entries_.find(name);
    return entry != entries_.end() && entry->second.wanted &&
           entry->second.description.fingerprint == fingerprint;
  };
  if (place.remote != nullptr) {  // not fetched to find that nothing has changed
    const auto fingerprint = place.remote->fingerprint(name);
    if (fingerprint.ok() && is_known(*fingerprint)) return;
  }
  const ModelDescription description = describe(name, place, {});
  if (is_known(description.fingerprint)) return;
  const absl::Status ignored = load_one(description);  // told by its state and in the log
  renew_ensembles_of(name);
}

ModelDescription ModelRegistry::describe(const std::string& name, const Place& place,
                                         const LoadOverrides& overrides) {
  if (place.remote != nullptr) return describe_remote_model(name, place.remote, overrides);
  return describe_model(name, place.folder, overrides);
}

// The folder of a model named on the command line, or of the one repository that has it.
ModelRegistry::Place ModelRegistry::locate(const std::string& name) const {
  {
    MutexLock lock(mutex_);
    const auto entry = entries_.find(name);
    if (entry != entries_.end() && !entry->second.in_repository) return {entry->second.origin, nullptr};
  }
  if (name.empty() || name.starts_with('.') || name.find('/') != std::string::npos) return {};
  std::string found;
  Place place;
  for (const std::string& repository : options_.repositories) {
    std::error_code error;
    const auto folder = std::filesystem::path(repository) / name;
    if (!std::filesystem::is_directory(folder, error)) continue;
    if (!found.empty()) {
      log::warning("two repositories hold the model",
                   {{"model", name}, {"first", found}, {"second", folder.string()}});
      return {};
    }
    found = folder;
    place.folder = folder;
  }
  for (const auto& remote : options_.remotes) {
    // A repository that does not answer may hold it: then fetching it says why.
    if (absl::IsNotFound(remote->fingerprint(name).status())) continue;
    if (!found.empty()) {
      log::warning("two repositories hold the model",
                   {{"model", name}, {"first", found}, {"second", remote->location()}});
      return {};
    }
    found = remote->location();
    place.remote = remote;
  }
  return place;
}

}  // namespace zeta::serving
