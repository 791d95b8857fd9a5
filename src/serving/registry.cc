#include "src/serving/registry.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <system_error>
#include <utility>

#include "src/base/concat.h"

namespace zeta::serving {
namespace {

// 0 for anything else than a number > 0, which no version is.
int64_t to_version(std::string_view text) {
  int64_t version = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), version);
  return error == std::errc() && end == text.data() + text.size() ? version : 0;
}

const std::string& place_of(const ModelDescription& description) {
  return description.remote == nullptr ? description.folder : description.remote->location();
}

}  // namespace

ModelRegistry::ModelRegistry(std::string backend_directory, BackendSettings settings, RegistryOptions options)
    : options_(std::move(options)),
      members_(std::make_shared<RegistryMembers>(*this)),
      loader_(std::move(backend_directory), std::move(settings),
              {members_, options_.response_cache, options_.rate_limiter}) {}

ModelRegistry::~ModelRegistry() {
  members_->close();
  unload_all();
}

absl::Status ModelRegistry::add(ModelDescription description) {
  MutexLock lock(mutex_);
  const auto [entry, is_new] = entries_.try_emplace(description.name);
  if (!is_new) {
    return absl::AlreadyExistsError(concat("two models are named '", description.name,
                                           "': ", place_of(entry->second.description), " and ",
                                           place_of(description)));
  }
  const auto parent = std::filesystem::path(description.folder).parent_path();
  entry->second.in_repository =
      description.remote != nullptr ||
      std::ranges::any_of(options_.repositories, [&](const std::string& repository) {
        std::error_code error;
        return std::filesystem::equivalent(parent, repository, error);
      });
  if (description.versions.empty()) entry->second.versions[1];
  for (const auto& [version, folder] : description.versions) entry->second.versions[version];
  entry->second.origin = description.folder;
  entry->second.by_request = true;
  entry->second.description = std::move(description);
  return absl::OkStatus();
}

absl::StatusOr<const ModelRegistry::Version*> ModelRegistry::find_version(std::string_view name,
                                                                          std::string_view version) const {
  const auto entry = entries_.find(name);
  if (entry == entries_.end()) {
    return absl::NotFoundError(concat("Request for unknown model: '", name, "' is not found"));
  }
  const auto& versions = entry->second.versions;
  const auto not_ready = [&](std::string_view which) {
    return absl::UnavailableError(
        concat("Request for unknown model: '", name, "' version ", which, " is not at ready state"));
  };
  if (!version.empty()) {
    const auto found = versions.find(to_version(version));
    if (found == versions.end()) {
      return absl::NotFoundError(
          concat("Request for unknown model: '", name, "' version ", version, " is not found"));
    }
    if (found->second.state != ModelState::kReady) return not_ready(version);
    return &found->second;
  }
  const auto newest = std::find_if(versions.rbegin(), versions.rend(), [](const auto& numbered) {
    return numbered.second.state == ModelState::kReady;
  });
  if (newest != versions.rend()) return &newest->second;
  for (const auto& [number, one] : versions) {
    if (one.state == ModelState::kLoading) return not_ready(std::to_string(number));
  }
  return absl::NotFoundError(concat("Request for unknown model: '", name, "' has no available versions"));
}

absl::StatusOr<std::shared_ptr<ServedModel>> ModelRegistry::find(std::string_view name,
                                                                 std::string_view version) const {
  MutexLock lock(mutex_);
  const auto found = find_version(name, version);
  if (!found.ok()) return found.status();
  return (*found)->loaded.model;
}

absl::StatusOr<std::shared_ptr<const inference::ModelConfig>> ModelRegistry::config(
    std::string_view name, std::string_view version) const {
  MutexLock lock(mutex_);
  const auto found = find_version(name, version);
  if (!found.ok()) return found.status();
  return (*found)->loaded.config;
}

absl::StatusOr<std::vector<std::shared_ptr<ServedModel>>> ModelRegistry::models(
    std::string_view name, std::string_view version) const {
  if (name.empty()) return ready_models();
  std::vector<std::shared_ptr<ServedModel>> found;
  MutexLock lock(mutex_);
  if (const auto entry = entries_.find(name); entry != entries_.end()) {
    for (const auto& [number, one] : entry->second.versions) {
      if (one.state == ModelState::kReady) found.push_back(one.loaded.model);
    }
  }
  if (found.empty())
    return absl::InvalidArgumentError(concat("requested model '", name, "' is not available"));
  if (version.empty()) return found;
  std::erase_if(found, [&](const auto& model) { return model->metadata().version != version; });
  if (!found.empty()) return found;
  return absl::InvalidArgumentError(
      concat("requested model version is not available for model '", name, "'"));
}

std::vector<ModelStatus> ModelRegistry::index() const {
  std::set<std::string> unknown;
  if (options_.control == ModelControl::kExplicit) {
    for (const std::string& repository : options_.repositories) {
      const auto names = model_names(repository);
      if (names.ok()) unknown.insert(names->begin(), names->end());
    }
    for (const auto& remote : options_.remotes) {
      for (std::string& name : remote->known_names()) unknown.insert(std::move(name));
    }
  }
  std::vector<ModelStatus> statuses;
  MutexLock lock(mutex_);
  for (const auto& [name, entry] : entries_) {
    if (!entry.versions.empty()) unknown.erase(name);
    for (const auto& [number, version] : entry.versions) {
      const auto& config = entry.description.config;
      ModelStatus status{name, std::to_string(number),
                         config.backend().empty() ? config.platform() : config.backend(), version.state,
                         version.reason};
      // The releaser may hold it a moment longer than the last request.
      const bool left = version.state == ModelState::kUnloading && version.leaving.use_count() <= 1;
      if (left) status.state = ModelState::kUnavailable;
      if (version.state == ModelState::kUnloading) status.reason = left ? "unloaded" : "";
      statuses.push_back(std::move(status));
    }
  }
  for (const std::string& name : unknown) statuses.push_back({name, "", "", ModelState::kUnknown, ""});
  std::ranges::stable_sort(statuses, {}, &ModelStatus::name);
  return statuses;
}

std::vector<std::shared_ptr<ServedModel>> ModelRegistry::ready_models() const {
  MutexLock lock(mutex_);
  std::vector<std::shared_ptr<ServedModel>> models;
  for (const auto& [name, entry] : entries_) {
    for (const auto& [number, version] : entry.versions) {
      if (version.state == ModelState::kReady) models.push_back(version.loaded.model);
    }
  }
  return models;
}

std::vector<std::string> ModelRegistry::versions(std::string_view name) const {
  MutexLock lock(mutex_);
  std::vector<std::string> numbers;
  const auto entry = entries_.find(name);
  if (entry == entries_.end()) return numbers;
  for (const auto& [number, version] : entry->second.versions) {
    if (version.state == ModelState::kReady) numbers.push_back(std::to_string(number));
  }
  return numbers;
}

bool ModelRegistry::ready() const {
  MutexLock lock(mutex_);
  if (closed_ || !started_) return false;
  return !options_.strict_readiness || std::ranges::all_of(entries_, [](const auto& named) {
    return !named.second.wanted || named.second.waits_for_members ||
           std::ranges::all_of(named.second.versions, [](const auto& numbered) {
             return numbered.second.state == ModelState::kReady ||
                    numbered.second.state == ModelState::kUnloading;
           });
  });
}

void ModelRegistry::close() {
  MutexLock lock(mutex_);
  closed_ = true;
}

void ModelRegistry::unload_all() {
  Retired retired(releaser_);
  Entries dropped;  // destroyed without the lock
  MutexLock lock(mutex_);
  ended_ = true;
  dropped.swap(entries_);
  for (auto& [name, entry] : dropped) {
    for (auto& [number, version] : entry.versions) retired.add(std::exchange(version.loaded, {}));
  }
}

}  // namespace zeta::serving
