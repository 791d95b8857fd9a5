#include "src/engine/distribution.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace zeta::engine {
namespace {

struct Candidate {
  int32_t token;
  float weight;  // exp((logit − best) / temperature)
};

// Heap order: the likeliest on top, the smaller id among equals.
bool less_likely(const Candidate& a, const Candidate& b) {
  return a.weight != b.weight ? a.weight < b.weight : a.token > b.token;
}

float ordered(float logit) { return std::isnan(logit) ? -std::numeric_limits<float>::infinity() : logit; }

std::vector<Candidate> weigh(std::span<const float> logits, double temperature) {
  const float best = ordered(logits[static_cast<size_t>(best_token(logits))]);
  const auto inverse = static_cast<float>(1.0 / temperature);
  std::vector<Candidate> out(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) {
    // Equal to the best also when both are infinite, where the difference would be NaN.
    const float weight = logits[i] == best ? 1.0f : std::exp((ordered(logits[i]) - best) * inverse);
    out[i] = {static_cast<int32_t>(i), weight};
  }
  return out;
}

double total_weight(std::span<const Candidate> candidates) {
  return std::accumulate(candidates.begin(), candidates.end(), 0.0,
                         [](double sum, const Candidate& c) { return sum + c.weight; });
}

// Takes the likeliest off the heap [candidates, end) to its back and returns it.
Candidate pop(std::vector<Candidate>& candidates, size_t& heap_size) {
  std::pop_heap(candidates.begin(), candidates.begin() + static_cast<ptrdiff_t>(heap_size), less_likely);
  return candidates[--heap_size];
}

// What the filters leave, likeliest first. A heap finds them without sorting the vocabulary.
std::vector<Candidate> filtered(std::vector<Candidate> candidates, const Filter& filter) {
  std::make_heap(candidates.begin(), candidates.end(), less_likely);
  size_t heap_size = candidates.size();
  const bool limited = filter.top_k > 0 && static_cast<size_t>(filter.top_k) < candidates.size();
  const size_t most = limited ? static_cast<size_t>(filter.top_k) : candidates.size();
  double total = limited ? 0.0 : total_weight(candidates);
  std::vector<Candidate> kept;
  double sum = 0.0;
  if (limited) {
    for (size_t i = 0; i < most; ++i) kept.push_back(pop(candidates, heap_size));
    total = total_weight(kept);
  }
  size_t used = 0;
  for (; used < most; ++used) {
    if (!limited) kept.push_back(pop(candidates, heap_size));
    if (used > 0 && (sum >= filter.top_p * total || kept[used].weight < filter.min_p * kept[0].weight)) break;
    sum += kept[used].weight;
  }
  kept.resize(used);
  return kept;
}

int32_t at_share(std::span<const Candidate> candidates, double u) {
  const double target = u * total_weight(candidates);
  double sum = 0.0;
  int32_t last = candidates.front().token;
  for (const Candidate& candidate : candidates) {
    if (candidate.weight > 0.0f) last = candidate.token;
    sum += candidate.weight;
    if (sum > target) return candidate.token;
  }
  return last;  // rounding left the sum below the target
}

}  // namespace

int32_t best_token(std::span<const float> logits) {
  size_t best = 0;
  for (size_t i = 1; i < logits.size(); ++i) {
    if (ordered(logits[i]) > ordered(logits[best])) best = i;
  }
  return static_cast<int32_t>(best);
}

std::vector<int32_t> best_tokens(std::span<const float> logits, size_t count) {
  std::vector<int32_t> tokens(logits.size());
  std::iota(tokens.begin(), tokens.end(), 0);
  count = std::min(count, tokens.size());
  std::partial_sort(tokens.begin(), tokens.begin() + static_cast<ptrdiff_t>(count), tokens.end(),
                    [&](int32_t a, int32_t b) {
                      const float x = ordered(logits[static_cast<size_t>(a)]);
                      const float y = ordered(logits[static_cast<size_t>(b)]);
                      return x != y ? x > y : a < b;
                    });
  tokens.resize(count);
  return tokens;
}

double log_sum_exp(std::span<const float> logits) {
  const float best = ordered(logits[static_cast<size_t>(best_token(logits))]);
  double sum = 0.0;
  for (float logit : logits)
    sum += logit == best ? 1.0 : std::exp(static_cast<double>(ordered(logit)) - best);
  return best + std::log(sum);
}

int32_t draw(std::span<const float> logits, const Filter& filter, double u) {
  std::vector<Candidate> candidates = weigh(logits, filter.temperature);
  const bool filters = filter.top_k > 0 || filter.top_p < 1.0 || filter.min_p > 0.0;
  return at_share(filters ? filtered(std::move(candidates), filter) : candidates, u);
}

}  // namespace zeta::engine
