// The versions of a model, each a folder with a number for a name.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <system_error>

#include "model_config.pb.h"

namespace zeta::serving {

using VersionFolders = std::map<int64_t, std::string>;

// Numbers > 0 without leading zeros. `error` is set when `folder` cannot be read.
VersionFolders version_folders(const std::string& folder, std::error_code& error);

// Those that the policy serves.
VersionFolders served_versions(const inference::ModelVersionPolicy& policy, VersionFolders there);

// A text that changes when a file in `folder`, to any depth, is added, removed, replaced or written.
std::string folder_fingerprint(const std::string& folder);

}  // namespace zeta::serving
