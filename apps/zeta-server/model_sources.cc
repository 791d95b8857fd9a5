#include "apps/zeta-server/model_sources.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "apps/zeta-server/start_failure.h"
#include "src/base/concat.h"
#include "src/base/log.h"
#include "src/s3/repository.h"

namespace zeta::server {
namespace {

void must(const absl::Status& status) {
  if (!status.ok()) throw StartFailure(kExitBadUsage, std::string(status.message()));
}

serving::ModelDescription describe(const std::string& model) {
  const size_t equals = model.find('=');
  const bool named = equals != std::string::npos && model.find('/') > equals;
  return serving::describe_model(named ? model.substr(0, equals) : "",
                                 named ? model.substr(equals + 1) : model);
}

// A setting for a backend that no model uses would be ignored without a word. While a model's backend is not
// known, or more may be loaded later, neither is whether one is unused.
void require_used(const serving::ModelRegistry::BackendSettings& settings,
                  const std::set<std::string>& backends) {
  for (const auto& [backend, parameters] : settings) {
    if (backends.contains(backend)) continue;
    std::string in_use;
    for (const std::string& other : backends) in_use += (in_use.empty() ? "" : ", ") + other;
    throw StartFailure(kExitBadUsage, concat("setting ", parameters.begin()->first, " is for the backend '",
                                             backend, "', which no model uses; backends in use: ", in_use));
  }
}

// Those of a repository that the start is to load.
bool is_wanted(const Options& options, const std::string& name) {
  if (options.registry.control != serving::ModelControl::kExplicit) return true;
  const auto& names = options.load_models;
  return std::ranges::find(names, name) != names.end() || std::ranges::find(names, "*") != names.end();
}

// With the repositories that are elsewhere taken out of the list of folders.
serving::RegistryOptions registry_options(const Options& options) {
  serving::RegistryOptions made = options.registry;
  auto share = std::make_shared<s3::DiskShare>();
  share->folder = options.model_copy_folder;
  share->most_bytes = options.model_copy_limit;
  std::erase_if(made.repositories, [&](const std::string& name) {
    if (!s3::is_location(name)) return false;
    auto location = s3::parse_location(name);
    must(location.status());
    made.remotes.push_back(std::make_shared<s3::Repository>(*std::move(location), share));
    return true;
  });
  return made;
}

serving::ModelDescription describe_later(const std::string& name,
                                         const std::shared_ptr<serving::RemoteRepository>& remote) {
  serving::ModelDescription model;
  model.name = name;
  model.remote = remote;
  return model;
}

}  // namespace

std::shared_ptr<serving::ModelRegistry> find_models(const Options& options) {
  const serving::RegistryOptions used = registry_options(options);
  const auto& repositories = used.repositories;
  auto registry =
      std::make_shared<serving::ModelRegistry>(options.backend_directory, options.backend_settings, used);
  std::set<std::string> backends, missing(options.load_models.begin(), options.load_models.end());
  missing.erase("*");
  const auto add = [&](serving::ModelDescription model) {
    backends.insert(model.status.ok() ? model.config.backend() : "");  // "" too while it is to be fetched
    must(registry->add(std::move(model)));
  };
  for (const std::string& folder : repositories) {
    auto names = serving::model_names(folder);
    must(names.status());
    if (names->empty()) log::warning("no model found in the repository", {{"repository", folder}});
    for (const std::string& name : *names) {
      missing.erase(name);
      if (is_wanted(options, name)) add(serving::describe_model(name, concat(folder, "/", name)));
    }
  }
  for (const auto& remote : used.remotes) {
    auto names = remote->model_names();
    must(names.status());
    if (names->empty())
      log::warning("no model found in the repository", {{"repository", remote->location()}});
    for (const std::string& name : *names) {
      missing.erase(name);
      if (is_wanted(options, name)) add(describe_later(name, remote));
    }
  }
  if (!missing.empty()) {
    throw StartFailure(kExitBadUsage, concat("--load-model ", *missing.begin(), ": no repository holds it"));
  }
  for (const std::string& model : options.models) {
    auto description = describe(model);
    must(description.status);
    add(std::move(description));
  }
  const bool final = options.registry.control == serving::ModelControl::kNone;
  if (final && !backends.contains("")) require_used(options.backend_settings, backends);
  return registry;
}

}  // namespace zeta::server
