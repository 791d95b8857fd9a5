// A registry as ensembles see it.
#pragma once

#include <memory>
#include <string>

#include "src/base/mutex.h"
#include "src/serving/ensemble/members.h"

namespace zeta::serving {

class ModelRegistry;

// Thread-safe. Requests to ensembles may outlive the registry; they find nothing then.
class RegistryMembers final : public EnsembleMembers {
 public:
  explicit RegistryMembers(const ModelRegistry& registry) : registry_(&registry) {}
  void close() ZETA_EXCLUDES(mutex_);
  absl::StatusOr<std::shared_ptr<ServedModel>> model(const std::string& name, int64_t version) const override
      ZETA_EXCLUDES(mutex_);
  absl::StatusOr<std::shared_ptr<const inference::ModelConfig>> config(const std::string& name,
                                                                       int64_t version) const override
      ZETA_EXCLUDES(mutex_);

 private:
  mutable Mutex mutex_;
  const ModelRegistry* registry_ ZETA_GUARDED_BY(mutex_);
};

}  // namespace zeta::serving
