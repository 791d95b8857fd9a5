#include "src/serving/repository.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <system_error>
#include <utility>

#include "src/base/concat.h"
#include "src/serving/model_config.h"

namespace zeta::serving {
namespace {

namespace fs = std::filesystem;

// Version folders are decimal numbers > 0 without leading zeros.
std::optional<int64_t> version_of(const fs::path& folder) {
  const std::string name = folder.filename();
  int64_t version = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), version);
  if (error != std::errc() || end != name.data() + name.size() || version <= 0) return std::nullopt;
  if (std::to_string(version) != name) return std::nullopt;
  return version;
}

// `error` is set when the folder cannot be read.
std::optional<int64_t> latest_version(const fs::path& folder, std::error_code& error) {
  std::optional<int64_t> latest;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    std::error_code ignored;
    if (!entry.is_directory(ignored)) continue;
    latest = std::max(latest, version_of(entry.path()));
  }
  return latest;
}

bool is_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

absl::StatusOr<std::string> read_text(const fs::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) {
    return absl::PermissionDeniedError(concat("cannot read ", path.string()));
  }
  return text.str();
}

// Takes what config.pbtxt says, where there is one.
absl::Status apply_config(const fs::path& folder, ModelDescription& model) {
  if (!is_file(folder / "config.pbtxt")) return absl::OkStatus();
  const auto text = read_text(folder / "config.pbtxt");
  if (!text.ok()) return text.status();
  const auto config = parse_model_config(*text);
  if (!config.ok()) {
    return {config.status().code(), concat(folder.string(), "/", std::string(config.status().message()))};
  }
  if (!config->name.empty() && config->name != model.source.name) {
    return absl::InvalidArgumentError(concat(folder.string(), "/config.pbtxt names the model '", config->name,
                                             "', expected the folder's name '", model.source.name, "'"));
  }
  model.backend = config->backend;
  return absl::OkStatus();
}

absl::Status fill(const fs::path& folder, ModelDescription& model) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    return absl::NotFoundError(concat("no such folder: ", folder.string()));
  }
  const auto version = latest_version(folder, error);
  if (!version) {
    if (error) {
      return absl::PermissionDeniedError(concat("cannot read ", folder.string(), ": ", error.message()));
    }
    if (!is_file(folder / "config.json")) {
      return absl::NotFoundError(concat(folder.string(), " holds no model: expected config.json (a ",
                                        "Hugging Face folder) or a version folder such as 1/"));
    }
    model.backend = "zeta";
    return absl::OkStatus();
  }
  model.source.version = std::to_string(*version);
  model.source.folder = folder / model.source.version;
  if (is_file(folder / model.source.version / "config.json")) model.backend = "zeta";
  if (absl::Status status = apply_config(folder, model); !status.ok()) return status;
  if (model.backend.empty()) {
    return absl::InvalidArgumentError(concat("cannot tell the backend of ", folder.string(),
                                             ": expected config.pbtxt with backend: \"…\", or ",
                                             model.source.version, "/config.json"));
  }
  return absl::OkStatus();
}

std::string own_name(const std::string& folder) {
  const fs::path path = fs::path(folder).lexically_normal();
  return path.has_filename() ? path.filename() : path.parent_path().filename();
}

}  // namespace

ModelDescription describe_model(std::string name, const std::string& folder) {
  ModelDescription model{{name.empty() ? own_name(folder) : std::move(name), "1", folder, {}}, "", {}};
  model.status = fill(folder, model);
  return model;
}

absl::StatusOr<std::vector<ModelDescription>> scan_repository(const std::string& folder) {
  std::error_code error;
  fs::directory_iterator entries(folder, error);
  if (error) {
    const std::string message = concat("cannot read model repository '", folder, "': ", error.message());
    return error == std::errc::permission_denied ? absl::PermissionDeniedError(message)
                                                 : absl::NotFoundError(message);
  }
  std::vector<ModelDescription> models;
  for (const auto& entry : entries) {
    const std::string name = entry.path().filename();
    if (name.starts_with('.') || !entry.is_directory(error)) continue;
    models.push_back(describe_model(name, entry.path()));
  }
  std::ranges::sort(models, {}, [](const ModelDescription& model) { return model.source.name; });
  return models;
}

}  // namespace zeta::serving
