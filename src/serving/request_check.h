// Whether a request fits a model, before the backend sees it.
#pragma once

#include "absl/status/status.h"
#include "src/serving/backend.h"

namespace zeta::serving {

// InvalidArgument when an input is unknown, missing, given twice, of another type or shape, or holds another
// number of bytes than its shape says; when the inputs bring different numbers of items, or more than
// max_batch_size; or when an output is asked for that the model does not have. The texts are Triton's, which
// clients match.
absl::Status check_request(const ModelMetadata& model, const InferRequest& request);

}  // namespace zeta::serving
