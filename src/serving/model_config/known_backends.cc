#include "src/serving/model_config/known_backends.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <system_error>

namespace zeta::serving {
namespace {

// Where a backend stands twice, the first is meant by its name alone.
constexpr KnownBackend kKnown[] = {
    {"pytorch_libtorch", "pytorch", "model.pt", true},
    {"torch_aoti", "pytorch", "model.pt2", true},
    {"ensemble", "", "", false},
    {"", "zeta", "", false},
    {"", "echo", "", false},
};

template <class Field>
const KnownBackend* find(std::string_view value, Field field) {
  const auto* found = value.empty() ? std::end(kKnown) : std::ranges::find(kKnown, value, field);
  return found == std::end(kKnown) ? nullptr : found;
}

bool holds(const std::filesystem::path& folder, std::string_view file) {
  std::error_code error;
  return !file.empty() && std::filesystem::exists(folder / file, error);
}

}  // namespace

const KnownBackend* find_platform(std::string_view platform) {
  return find(platform, &KnownBackend::platform);
}

const KnownBackend* find_backend(std::string_view backend) { return find(backend, &KnownBackend::backend); }

std::string known_platforms() {
  std::string list;
  for (const KnownBackend& known : kKnown) {
    if (!known.platform.empty()) list.append(list.empty() ? "" : ", ").append(known.platform);
  }
  return list;
}

const KnownBackend* backend_of_folder(const std::string& version_folder) {
  if (holds(version_folder, "config.json")) return find_backend("zeta");
  for (const KnownBackend& known : kKnown) {
    if (holds(version_folder, known.file)) return &known;
  }
  return nullptr;
}

}  // namespace zeta::serving
