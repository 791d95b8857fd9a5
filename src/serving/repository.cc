#include "src/serving/repository.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>
#include <utility>

#include "src/base/concat.h"
#include "src/serving/model_config/check.h"
#include "src/serving/model_config/complete.h"
#include "src/serving/model_config/known_backends.h"
#include "src/serving/model_config/parse.h"
#include "src/serving/model_config/supported.h"
#include "src/serving/override_folder.h"
#include "src/serving/remote_repository.h"
#include "src/serving/version_folders.h"

namespace zeta::serving {
namespace {

namespace fs = std::filesystem;

bool is_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

absl::StatusOr<inference::ModelConfig> read_config(const fs::path& path) {
  std::ifstream file(path);
  if (!file) return absl::PermissionDeniedError(concat("cannot read ", path.string()));
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  return parse_model_config(text, path.string());
}

// What the request or config.pbtxt says; nothing when there is neither.
absl::StatusOr<inference::ModelConfig> find_config(const fs::path& folder, const LoadOverrides& overrides) {
  if (overrides.config_json) return parse_model_config_json(*overrides.config_json);
  const bool pbtxt = is_file(folder / "config.pbtxt"), conf = is_file(folder / "model.conf");
  if (pbtxt && conf) {
    return absl::InvalidArgumentError(concat(
        folder.string(), " holds both config.pbtxt and model.conf, which are the same file: remove one"));
  }
  if (pbtxt) return read_config(folder / "config.pbtxt");
  if (conf) return read_config(folder / "model.conf");
  return inference::ModelConfig();
}

absl::Status check_name(const std::string& folder, const ModelDescription& model) {
  if (model.config.name().empty() || model.config.name() == model.name) return absl::OkStatus();
  return absl::InvalidArgumentError(concat("unexpected directory name '", model.name, "' for model '",
                                           model.config.name(), "', directory name must equal model name (",
                                           folder, ")"));
}

absl::Status choose_backend(const ModelDescription& model, const std::string& newest,
                            inference::ModelConfig& config) {
  if (!config.platform().empty() && find_platform(config.platform()) == nullptr) {
    return absl::InvalidArgumentError(concat("unexpected platform type '", config.platform(), "' for ",
                                             model.name, "; expected one of ", known_platforms()));
  }
  if (!config.platform().empty() || !config.backend().empty()) return absl::OkStatus();
  const KnownBackend* known = newest.empty() ? nullptr : backend_of_folder(newest);
  if (known == nullptr) {
    return absl::InvalidArgumentError(
        concat("cannot tell the backend of ", model.folder,
               ": expected config.pbtxt with backend: \"…\" or platform: \"…\", or a ",
               "version folder with config.json, model.pt or model.pt2"));
  }
  config.set_platform(std::string(known->platform));
  config.set_backend(std::string(known->backend));
  return absl::OkStatus();
}

// The version folders, or the folder itself as version 1.
absl::StatusOr<VersionFolders> find_versions(const std::string& folder) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) return absl::NotFoundError(concat("no such folder: ", folder));
  VersionFolders found = version_folders(folder, error);
  if (error) return absl::PermissionDeniedError(concat("cannot read ", folder, ": ", error.message()));
  if (!found.empty()) return found;
  if (is_file(fs::path(folder) / "config.json")) return VersionFolders{{1, folder}};
  return absl::NotFoundError(concat(folder,
                                    " holds no model: expected config.json (a Hugging Face folder) or a ",
                                    "version folder such as 1/"));
}

absl::Status fill(const LoadOverrides& overrides, ModelDescription& model) {
  auto versions = find_versions(model.folder);
  if (!versions.ok()) return versions.status();
  auto config = find_config(model.folder, overrides);
  if (!config.ok()) return config.status();
  model.config = *std::move(config);
  absl::Status status = check_name(model.folder, model);
  if (status.ok())
    status = choose_backend(model, versions->empty() ? "" : versions->rbegin()->second, model.config);
  if (!status.ok()) return status;
  model.config.set_name(model.name);
  normalise_model_config(model.config);
  model.versions = served_versions(model.config.version_policy(), *std::move(versions));
  status = check_scheduling(model.config);
  return status.ok() ? check_supported(model.config) : status;
}

absl::Status fill_from_request(const LoadOverrides& overrides, ModelDescription& model) {
  if (overrides.files.empty()) return fill(overrides, model);
  if (!overrides.config_json)
    return absl::InvalidArgumentError("files in a request need 'config' beside them");
  auto made = OverrideFolder::create(overrides.files);
  if (!made.ok()) return made.status();
  model.folder = (*made)->path();
  model.keep = *std::move(made);
  return fill(overrides, model);
}

// Without the lines of the configuration's file.
std::string content_fingerprint(const std::string& fingerprint, const std::string& folder) {
  std::string kept;
  for (size_t begin = 0; begin < fingerprint.size();) {
    const size_t end = std::min(fingerprint.find('\n', begin), fingerprint.size() - 1) + 1;
    const std::string line = fingerprint.substr(begin, end - begin);
    const bool is_config = line.starts_with(concat((fs::path(folder) / "config.pbtxt").string(), "\t")) ||
                           line.starts_with(concat((fs::path(folder) / "model.conf").string(), "\t"));
    if (!is_config) kept += line;
    begin = end;
  }
  return kept;
}

std::string own_name(const std::string& folder) {
  const fs::path path = fs::path(folder).lexically_normal();
  return path.has_filename() ? path.filename() : path.parent_path().filename();
}

}  // namespace

ModelDescription describe_model(std::string name, const std::string& folder, const LoadOverrides& overrides) {
  ModelDescription model;
  model.name = name.empty() ? own_name(folder) : std::move(name);
  model.folder = folder;
  model.fingerprint = folder_fingerprint(folder);
  if (overrides.files.empty()) model.content = content_fingerprint(model.fingerprint, folder);
  model.status = fill_from_request(overrides, model);
  model.config.set_name(model.name);
  return model;
}

ModelDescription describe_remote_model(const std::string& name,
                                       const std::shared_ptr<RemoteRepository>& remote,
                                       const LoadOverrides& overrides) {
  if (!overrides.files.empty()) {
    ModelDescription model = describe_model(name, "", overrides);
    model.remote = remote;
    return model;
  }
  auto fetched = remote->fetch(name);
  if (!fetched.ok()) {
    ModelDescription model;
    model.name = name;
    model.status = fetched.status();
    model.remote = remote;
    model.config.set_name(name);
    return model;
  }
  ModelDescription model = describe_model(name, fetched->folder, overrides);
  model.fingerprint = std::move(fetched->fingerprint);
  model.keep = std::move(fetched->keep);
  model.remote = remote;
  return model;
}

absl::StatusOr<std::vector<std::string>> model_names(const std::string& folder) {
  std::error_code error;
  std::vector<std::string> names;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code ignored;
    const std::string name = entry->path().filename();
    if (!name.starts_with('.') && entry->is_directory(ignored)) names.push_back(name);
  }
  if (error) {
    const std::string message = concat("cannot read model repository '", folder, "': ", error.message());
    return error == std::errc::permission_denied ? absl::PermissionDeniedError(message)
                                                 : absl::NotFoundError(message);
  }
  std::ranges::sort(names);
  return names;
}

absl::StatusOr<std::vector<ModelDescription>> scan_repository(const std::string& folder) {
  const auto names = model_names(folder);
  if (!names.ok()) return names.status();
  std::vector<ModelDescription> models;
  for (const std::string& name : *names)
    models.push_back(describe_model(name, (fs::path(folder) / name).string()));
  return models;
}

}  // namespace zeta::serving
