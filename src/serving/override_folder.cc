#include "src/serving/override_folder.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <system_error>

#include "src/base/concat.h"
#include "src/serving/model_config/model_files.h"

namespace zeta::serving {

namespace fs = std::filesystem;

absl::StatusOr<std::shared_ptr<const OverrideFolder>> OverrideFolder::create(
    const std::map<std::string, std::string>& files) {
  std::error_code error;
  std::string path = (fs::temp_directory_path(error) / "zeta-model-XXXXXX").string();
  if (mkdtemp(path.data()) == nullptr) {
    return absl::InternalError(concat("cannot make a temporary folder such as ", path));
  }
  const std::shared_ptr<const OverrideFolder> folder(new OverrideFolder(path));
  for (const auto& [name, content] : files) {
    if (!stays_inside(name)) {
      return absl::InvalidArgumentError(
          concat("expected a path inside the model's folder, got 'file:", name, "'"));
    }
    const fs::path target = fs::path(path) / name;
    fs::create_directories(target.parent_path(), error);
    std::ofstream file(target, std::ios::binary);
    if (!(file << content) || !file.flush())
      return absl::InternalError(concat("cannot write ", target.string()));
  }
  return folder;
}

OverrideFolder::~OverrideFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

}  // namespace zeta::serving
