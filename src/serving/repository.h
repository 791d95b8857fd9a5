// Which models there are on disk.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model_config.pb.h"

namespace zeta::serving {

// What a request to load a model gives in place of its files.
struct LoadOverrides {
  std::optional<std::string> config_json;
  std::map<std::string, std::string> files;  // path below the model's folder → content; needs config_json

  bool empty() const { return !config_json && files.empty(); }
};

class RemoteRepository;

// A model that was found, not loaded yet.
struct ModelDescription {
  std::string name;
  std::string folder;                          // config.pbtxt is here, or config.json
  inference::ModelConfig config;               // checked but for its tensors, and normalised
  std::map<int64_t, std::string> versions;     // those that the version policy serves, and their folders
  absl::Status status;                         // why it cannot be loaded, if that is plain from its files
  std::string fingerprint;                     // changes when a file of the model does
  std::string content;                         // the same of all files but the configuration
  std::shared_ptr<const void> keep;            // holds what `folder` needs to exist
  std::shared_ptr<RemoteRepository> remote{};  // where it is, and without a folder still to be fetched from
};

// Describes one model in `folder`, which is either a model of a Triton repository (config.pbtxt or
// model.conf, and version folders 1/, 2/ …) or itself a Hugging Face folder (config.json), served by the
// backend "zeta" as version 1. `name` "" means the folder's own. A folder without a configuration is served
// by the backend that its newest version speaks for.
ModelDescription describe_model(std::string name, const std::string& folder,
                                const LoadOverrides& overrides = {});

// The same for a model of a remote repository, whose files it fetches unless the request brings them.
ModelDescription describe_remote_model(const std::string& name,
                                       const std::shared_ptr<RemoteRepository>& remote,
                                       const LoadOverrides& overrides = {});

// Of every model of the repository `folder`, in the order of their names. Hidden entries and files are passed
// over. NotFound or PermissionDenied when the folder cannot be read.
absl::StatusOr<std::vector<ModelDescription>> scan_repository(const std::string& folder);

// The names alone, in their order.
absl::StatusOr<std::vector<std::string>> model_names(const std::string& folder);

}  // namespace zeta::serving
