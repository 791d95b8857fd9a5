#include "src/serving/version_folders.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>
#include <vector>

#include "src/base/concat.h"

namespace zeta::serving {
namespace {

namespace fs = std::filesystem;

std::optional<int64_t> version_of(const fs::path& folder) {
  const std::string name = folder.filename();
  int64_t version = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), version);
  if (error != std::errc() || end != name.data() + name.size() || version <= 0) return std::nullopt;
  if (std::to_string(version) != name) return std::nullopt;
  return version;
}

}  // namespace

VersionFolders version_folders(const std::string& folder, std::error_code& error) {
  VersionFolders found;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code ignored;
    const auto version = version_of(entry->path());
    if (version && entry->is_directory(ignored)) found.emplace(*version, entry->path());
  }
  return found;
}

VersionFolders served_versions(const inference::ModelVersionPolicy& policy, VersionFolders there) {
  if (policy.has_all()) return there;
  if (policy.has_specific()) {
    const auto& wanted = policy.specific().versions();
    std::erase_if(
        there, [&](const auto& version) { return std::ranges::find(wanted, version.first) == wanted.end(); });
    return there;
  }
  while (there.size() > policy.latest().num_versions()) there.erase(there.begin());
  return there;
}

std::string folder_fingerprint(const std::string& folder) {
  std::vector<std::string> lines;
  std::error_code error;
  for (fs::recursive_directory_iterator entry(folder, fs::directory_options::follow_directory_symlink, error),
       end;
       !error && entry != end; entry.increment(error)) {
    std::error_code ignored;
    if (!entry->is_regular_file(ignored)) continue;
    const auto written = entry->last_write_time(ignored).time_since_epoch().count();
    lines.push_back(concat(entry->path().string(), "\t", entry->file_size(ignored), "\t", written));
  }
  std::ranges::sort(lines);
  std::string text;
  for (const std::string& line : lines) text.append(line).append("\n");
  return text;
}

}  // namespace zeta::serving
