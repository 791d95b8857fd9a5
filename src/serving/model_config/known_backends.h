// What Triton's platforms are called here.
#pragma once

#include <string>
#include <string_view>

namespace zeta::serving {

struct KnownBackend {
  std::string_view platform;  // of a configuration; "": given by `backend` alone
  std::string_view backend;   // libzeta_backend_NAME.so
  std::string_view file;      // of the model in its version folder; "": the backend's own
  bool on_gpu;                // instances of KIND_AUTO go to the GPUs, where there are any
};

// nullptr when there is none.
const KnownBackend* find_platform(std::string_view platform);
const KnownBackend* find_backend(std::string_view backend);

// Platforms, comma-separated.
std::string known_platforms();

// The one that a version folder's content speaks for; nullptr when none.
const KnownBackend* backend_of_folder(const std::string& version_folder);

}  // namespace zeta::serving
