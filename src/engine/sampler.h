// From the logits of one position to the next token.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "src/engine/sampling_params.h"

namespace zeta::engine {

struct TokenLogprob {
  int32_t token;
  float logprob;  // natural, of the model's own distribution: before penalties, temperature and filters
};

struct Sampled {
  int32_t token = 0;
  TokenLogprob own{};             // with params.logprobs
  std::vector<TokenLogprob> top;  // the params.logprobs most likely, best first
};

// Chooses the tokens of one sequence. In this order: penalties (repetition over prompt and completion,
// presence and frequency over the completion), temperature, top_k, top_p of what top_k left, min_p relative
// to the best. Ties go to the smaller token id. The i-th choice uses the i-th number of the seed's stream, so
// the same logits and seed give the same tokens on every machine. Not thread-safe: one per sequence.
class Sampler {
 public:
  // `params` must be valid; `seed` is used where params has none.
  Sampler(SamplingParams params, std::span<const int32_t> prompt, uint64_t seed);

  // `logits` (vocab). Remembers the choice for the penalties.
  Sampled sample(std::span<const float> logits);

 private:
  void penalise(std::vector<float>& logits) const;
  int32_t choose(std::span<const float> logits);

  SamplingParams params_;
  uint64_t seed_;
  uint64_t index_ = 0;
  bool penalises_;
  std::unordered_map<int32_t, int32_t> seen_;  // token → times in the completion
};

}  // namespace zeta::engine
