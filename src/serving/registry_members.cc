#include "src/serving/registry_members.h"

#include "src/serving/registry.h"

namespace zeta::serving {
namespace {

absl::Status closed() { return absl::UnavailableError("the server is shutting down"); }

std::string text_of(int64_t version) { return version == -1 ? "" : std::to_string(version); }

}  // namespace

void RegistryMembers::close() {
  MutexLock lock(mutex_);
  registry_ = nullptr;
}

absl::StatusOr<std::shared_ptr<ServedModel>> RegistryMembers::model(const std::string& name,
                                                                    int64_t version) const {
  MutexLock lock(mutex_);
  if (registry_ == nullptr) return closed();
  return registry_->find(name, text_of(version));
}

absl::StatusOr<std::shared_ptr<const inference::ModelConfig>> RegistryMembers::config(const std::string& name,
                                                                                      int64_t version) const {
  MutexLock lock(mutex_);
  if (registry_ == nullptr) return closed();
  return registry_->config(name, text_of(version));
}

}  // namespace zeta::serving
