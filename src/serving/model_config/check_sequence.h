// The part of check_scheduling that is about sequences.
#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "model_config.pb.h"
#include "src/base/concat.h"

namespace zeta::serving {

// REQUIRES: config.has_sequence_batching().
absl::Status check_sequence(const inference::ModelConfig& config);

// That preferred batch sizes are sizes of batches. `batcher`: "dynamic batching preferred size".
template <class Sizes>
absl::Status check_preferred(const inference::ModelConfig& config, std::string_view batcher,
                             const Sizes& sizes) {
  for (const int size : sizes) {
    if (size <= 0) {
      return absl::InvalidArgumentError(
          concat(batcher, " must be positive for ", config.name(), ", got ", size));
    }
    if (size > config.max_batch_size()) {
      return absl::InvalidArgumentError(concat(batcher, " must be <= max batch size for ", config.name(),
                                               ", got ", size, " of at most ", config.max_batch_size()));
    }
  }
  return absl::OkStatus();
}

}  // namespace zeta::serving
