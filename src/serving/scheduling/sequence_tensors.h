// The tensors that a sequence batcher adds to requests.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "src/serving/backend.h"
#include "src/serving/scheduling/policy.h"
#include "src/serving/scheduling/sequence_identity.h"

namespace zeta::serving {

// The control's value for a request, of shape [1], or [1, 1] with a batch dimension. InvalidArgument when the
// control's type cannot hold the id.
absl::StatusOr<Tensor> control_tensor(const SequenceControl& control, const SequenceIdentity& identity,
                                      bool is_ready, bool has_batch_dimension);

// The state's shape at the start of a sequence; variable dimensions are 1.
std::vector<int64_t> initial_shape(const SequenceState& state, bool has_batch_dimension);

// The state's value at the start of a sequence.
Tensor initial_state(const SequenceState& state, bool has_batch_dimension);

}  // namespace zeta::serving
