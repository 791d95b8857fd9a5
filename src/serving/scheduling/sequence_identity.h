// Which sequence a request belongs to, and where in it it stands.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "src/serving/backend.h"

namespace zeta::serving {

struct SequenceIdentity {
  std::variant<int64_t, std::string> id;
  bool start = false, end = false;
  bool is_own = false;  // of a request that names no sequence

  std::string text() const;  // "7", "'abc'"
};

// From the parameters sequence_id, sequence_start and sequence_end. InvalidArgument, with Triton's text, when
// there is no id, and when one is of the wrong type.
absl::StatusOr<SequenceIdentity> sequence_identity(const InferRequest& request, const std::string& model);

}  // namespace zeta::serving
