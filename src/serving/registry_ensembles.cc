// What holds between ensembles and their members: the members are loaded first, and an ensemble is looked at
// anew when one of them changes.
#include <algorithm>
#include <set>
#include <utility>

#include "src/base/concat.h"
#include "src/base/log.h"
#include "src/serving/ensemble/plan.h"
#include "src/serving/registry.h"
#include "src/serving/registry_turn.h"

namespace zeta::serving {
namespace {

template <class... Parts>
absl::Status invalid(const Parts&... parts) {
  return absl::InvalidArgumentError(concat(parts...));
}

bool is_ensemble(const ModelDescription& model) { return model.config.has_ensemble_scheduling(); }

bool is_made_of(const ModelDescription& model, const std::string& member) {
  const auto members = ensemble_members(model.config);
  return std::ranges::find(members, member) != members.end();
}

}  // namespace

// As it was found last, or is in the repositories.
std::optional<ModelDescription> ModelRegistry::describe_member(const std::string& name) const {
  {
    MutexLock lock(mutex_);
    const auto entry = entries_.find(name);
    const bool known = entry != entries_.end() && !entry->second.description.name.empty();
    // A remote model without a folder has not been fetched, so that nothing is known but its name.
    const auto& was = known ? entry->second.description : ModelDescription();
    if (known && (was.remote == nullptr || !was.folder.empty())) return was;
  }
  const Place place = locate(name);
  if (place.empty()) return std::nullopt;
  return describe(name, place, {});
}

// While the start goes on, what has failed is not tried again for each ensemble that needs it.
bool ModelRegistry::needs_loading(const std::string& name) const {
  MutexLock lock(mutex_);
  const auto entry = entries_.find(name);
  if (entry == entries_.end()) return true;
  const auto has = [&](ModelState state) {
    return std::ranges::any_of(entry->second.versions,
                               [&](const auto& numbered) { return numbered.second.state == state; });
  };
  return started_ ? !has(ModelState::kReady) : has(ModelState::kLoading);
}

absl::Status ModelRegistry::load_members(const ModelDescription& ensemble, std::vector<std::string>& path) {
  if (!ensemble.status.ok() || !is_ensemble(ensemble)) return absl::OkStatus();
  path.push_back(ensemble.name);
  std::string missing;
  for (const std::string& name : ensemble_members(ensemble.config)) {
    if (std::ranges::find(path, name) != path.end()) {
      return invalid("circular dependency between ensembles: ", name, " -> ... -> ", ensemble.name, " -> ",
                     name);
    }
    const auto member = describe_member(name);
    if (!member || !member->status.ok()) {
      missing += concat(missing.empty() ? "" : ", ", name);
      continue;
    }
    absl::Status below = load_members(*member, path);
    if (!below.ok() && std::string(below.message()).starts_with("circular")) return below;
    if (!needs_loading(name)) continue;
    {
      const Turn turn(*this, name);
      if (!needs_loading(name)) continue;
      const absl::Status ignored = below.ok() ? apply(*member) : refuse(*member, below);  // told by its state
    }
    renew_ensembles_of(name, path);
  }
  path.pop_back();
  if (!missing.empty()) {
    return invalid("ensemble ", ensemble.name,
                   " contains models that are not available or ambiguous: ", missing);
  }
  return check_loaded(ensemble);
}

absl::Status ModelRegistry::check_loaded(const ModelDescription& ensemble) const {
  MutexLock lock(mutex_);
  for (const EnsembleStep& step : ensemble_plan(ensemble.config).steps) {
    const auto entry = entries_.find(step.model);
    const std::string depends = concat("ensemble '", ensemble.name, "' depends on '", step.model, "' ");
    bool any = false, wanted = false;
    std::string failures;
    if (entry != entries_.end()) {
      for (const auto& [number, version] : entry->second.versions) {
        const bool ready = version.state == ModelState::kReady;
        any = any || ready;
        wanted = wanted || (ready && number == step.version);
        if (version.state != ModelState::kUnavailable) continue;
        failures += concat("version ", number, " is at UNAVAILABLE state: ", version.reason, ";");
      }
    }
    if (any && (step.version == -1 || wanted)) continue;
    if (any) return invalid(depends, "whose required version ", step.version, " is not loaded");
    return invalid(depends, "which has no loaded version.",
                   failures.empty() ? "" : concat(" Model '", step.model, "' loading failed with error: "),
                   failures);
  }
  return absl::OkStatus();
}

absl::Status ModelRegistry::load_ensemble(const ModelDescription& ensemble) {
  std::vector<std::string> path;
  const absl::Status members = load_members(ensemble, path);
  const Turn turn(*this, ensemble.name);
  if (!members.ok()) return refuse(ensemble, members);
  return is_loaded(ensemble) ? absl::OkStatus() : apply(ensemble);
}

void ModelRegistry::renew_ensembles_of(const std::string& member, const std::vector<std::string>& except) {
  std::vector<std::string> names;
  {
    MutexLock lock(mutex_);
    if (!started_) return;  // their turn is still to come
    for (const auto& [name, entry] : entries_) {
      const bool lives =
          entry.wanted && entry.description.status.ok() && std::ranges::find(except, name) == except.end();
      if (lives && is_made_of(entry.description, member)) names.push_back(name);
    }
  }
  for (const std::string& name : names) {
    renew(name);
    std::vector<std::string> seen = except;  // ensembles may be made of each other, by mistake
    seen.insert(seen.end(), {member, name});
    renew_ensembles_of(name, seen);
  }
}

void ModelRegistry::renew(const std::string& name) {
  const Turn turn(*this, name);
  ModelDescription ensemble;
  {
    MutexLock lock(mutex_);
    const auto entry = entries_.find(name);
    if (ended_ || entry == entries_.end() || !entry->second.wanted) return;
    ensemble = entry->second.description;
  }
  const absl::Status members = check_loaded(ensemble);
  const absl::Status status = members.ok() ? apply(ensemble) : members;
  if (status.ok()) return;
  Retired retired(releaser_);
  MutexLock lock(mutex_);
  const auto entry = entries_.find(name);
  if (entry == entries_.end()) return;
  entry->second.waits_for_members = !members.ok();
  for (auto& [number, version] : entry->second.versions) {
    if (version.state == ModelState::kReady) retire(version, retired);
    if (version.state == ModelState::kUnavailable && members.ok()) continue;  // apply said why
    version.state = ModelState::kUnavailable;
    version.reason = reason_text(status);
  }
  log::warning("ensemble has no members to run",
               {{"model", name}, {"reason", std::string(status.message())}});
}

// Those that were loaded for `ensemble` alone.
void ModelRegistry::unload_members(const ModelDescription& ensemble) {
  for (const std::string& name : ensemble_members(ensemble.config)) {
    ModelDescription member;
    {
      MutexLock lock(mutex_);
      const auto entry = entries_.find(name);
      if (entry == entries_.end() || !entry->second.wanted || entry->second.by_request) continue;
      const bool needed = std::ranges::any_of(entries_, [&](const auto& named) {
        return named.second.wanted && is_made_of(named.second.description, name);
      });
      if (needed) continue;
      member = entry->second.description;
    }
    {
      const Turn turn(*this, name);
      retire_all(name);
    }
    unload_members(member);
  }
}

}  // namespace zeta::serving
