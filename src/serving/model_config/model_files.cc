#include "src/serving/model_config/model_files.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "src/base/concat.h"

namespace zeta::serving {

bool stays_inside(const std::string& name) {
  const std::filesystem::path path(name);
  if (name.empty() || path.is_absolute()) return false;
  return std::ranges::none_of(path, [](const auto& part) { return part == ".."; });
}

absl::StatusOr<std::string> read_model_file(const std::string& folder, const std::string& name) {
  if (!stays_inside(name)) {
    return absl::InvalidArgumentError(concat("expected a file inside ", folder, ", got '", name, "'"));
  }
  const std::string path = (std::filesystem::path(folder) / name).string();
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  if (!file || !(bytes << file.rdbuf())) {
    return absl::NotFoundError(
        concat("failed to open text file for read ", path, ": ", std::strerror(errno)));
  }
  return std::move(bytes).str();
}

absl::StatusOr<std::vector<std::string>> read_labels(const std::string& folder, const std::string& name) {
  const auto text = read_model_file(folder, name);
  if (!text.ok()) return text.status();
  std::vector<std::string> labels;
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);) {
    if (line.ends_with('\r')) line.pop_back();
    labels.push_back(std::move(line));
  }
  return labels;
}

}  // namespace zeta::serving
