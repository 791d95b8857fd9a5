// Echo models that leave queues, batches and threads to the server: those with max_batch_size > 0.
#pragma once

#include <memory>

#include "src/backends/echo/settings.h"
#include "src/serving/backend.h"

namespace zeta::echo {

// An instance waits for `delay_ms` in each execution. REQUIRES: kIdentity or kCount.
class BatchedModel final : public serving::Executable {
 public:
  BatchedModel(const Settings& settings, const serving::ModelSource& source);
  const serving::ModelMetadata& metadata() const override { return metadata_; }
  absl::StatusOr<std::unique_ptr<serving::Instance>> make_instance(
      const serving::Placement& placement) override;

 private:
  const Settings settings_;
  serving::ModelMetadata metadata_;
};

}  // namespace zeta::echo
