#include "src/serving/backend_library.h"

#include <dlfcn.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <vector>

#include "absl/status/status.h"
#include "src/base/concat.h"

namespace zeta::serving {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "libzeta_backend_";
constexpr std::string_view kSuffix = ".so";

std::string available_backends(const std::string& directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    const std::string file = entry.path().filename();
    if (!file.starts_with(kPrefix) || !file.ends_with(kSuffix)) continue;
    names.push_back(file.substr(kPrefix.size(), file.size() - kPrefix.size() - kSuffix.size()));
  }
  std::ranges::sort(names);
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
  return list.empty() ? "none" : list;
}

bool is_plain_name(std::string_view name) {
  return !name.empty() &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") == std::string_view::npos;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Backend>> open_backend(const std::string& directory, std::string_view name) {
  const fs::path path = fs::path(directory) / concat(kPrefix, name, kSuffix);
  std::error_code error;
  if (!is_plain_name(name) || !fs::exists(path, error)) {
    return absl::NotFoundError(concat("unknown backend '", name, "': ", directory, " has ",
                                      available_backends(directory), " (--backend-directory)"));
  }
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return absl::FailedPreconditionError(concat("backend '", name, "' cannot be opened: ", dlerror()));
  }
  auto* make = reinterpret_cast<decltype(&zeta_backend)>(dlsym(library, "zeta_backend"));
  if (make == nullptr) {
    return absl::FailedPreconditionError(concat(path.string(), " does not export zeta_backend"));
  }
  return std::unique_ptr<Backend>(make());
}

}  // namespace zeta::serving
