// A model's folder made of the files that a request brought.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace zeta::serving {

// A folder of its own in the system's place for temporary files; gone with the last reference.
class OverrideFolder {
 public:
  // `files`: path below the folder → content. InvalidArgument for a path that would leave it.
  static absl::StatusOr<std::shared_ptr<const OverrideFolder>> create(
      const std::map<std::string, std::string>& files);
  ~OverrideFolder();

  const std::string& path() const { return path_; }

 private:
  explicit OverrideFolder(std::string path) : path_(std::move(path)) {}
  const std::string path_;
};

}  // namespace zeta::serving
