// Arithmetic on the logits of one position. Logits may hold −∞; NaN counts as −∞. Ties go to the smaller id.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace zeta::engine {

int32_t best_token(std::span<const float> logits);
// The `count` most likely, best first; fewer when the vocabulary is smaller.
std::vector<int32_t> best_tokens(std::span<const float> logits, size_t count);
double log_sum_exp(std::span<const float> logits);

struct Filter {
  double temperature;  // > 0
  int64_t top_k;       // 0: all
  double top_p;        // the fewest tokens whose share of what top_k left reaches top_p; at least one
  double min_p;        // probability relative to the best token's
};

// The token at `u` in [0, 1) of the filtered distribution's cumulative sum.
int32_t draw(std::span<const float> logits, const Filter& filter, double u);

}  // namespace zeta::engine
