// Tensors made from the shapes of a batch's requests.
#pragma once

#include <cstdint>
#include <vector>

#include "src/serving/backend.h"
#include "src/serving/scheduling/policy.h"

namespace zeta::serving {

// `sources` are the shapes of the rule's source in each request, batch dimension first.
BatchInput make_batch_input(const BatchInputRule& rule, const std::vector<std::vector<int64_t>>& sources);

}  // namespace zeta::serving
