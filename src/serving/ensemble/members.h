// Where an ensemble finds its members.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "model_config.pb.h"
#include "src/serving/served_model.h"

namespace zeta::serving {

// Thread-safe. `version` -1 means the newest that is READY. A status says in Triton's words why there is
// none.
class EnsembleMembers {
 public:
  virtual ~EnsembleMembers() = default;
  virtual absl::StatusOr<std::shared_ptr<ServedModel>> model(const std::string& name,
                                                             int64_t version) const = 0;
  virtual absl::StatusOr<std::shared_ptr<const inference::ModelConfig>> config(const std::string& name,
                                                                               int64_t version) const = 0;
};

}  // namespace zeta::serving
