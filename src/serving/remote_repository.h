// A model repository that is not on this machine.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace zeta::serving {

// A model's files, brought here.
struct FetchedModel {
  std::string folder;
  std::string fingerprint;           // as of RemoteRepository::fingerprint
  std::shared_ptr<const void> keep;  // the folder is removed with the last reference
};

// Thread-safe. Every call but known_names() waits for a network.
class RemoteRepository {
 public:
  virtual ~RemoteRepository() = default;
  virtual const std::string& location() const = 0;  // as it was named
  // In their order.
  virtual absl::StatusOr<std::vector<std::string>> model_names() = 0;
  // As of the last model_names() that came to something.
  virtual std::vector<std::string> known_names() const = 0;
  // A text that changes when a file of the model does; NotFound when there is none.
  virtual absl::StatusOr<std::string> fingerprint(const std::string& model) = 0;
  // All of a model's files, or none.
  virtual absl::StatusOr<FetchedModel> fetch(const std::string& model) = 0;
};

}  // namespace zeta::serving
