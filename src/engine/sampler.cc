#include "src/engine/sampler.h"

#include <algorithm>
#include <cmath>

#include "src/engine/distribution.h"
#include "src/engine/random.h"

namespace zeta::engine {

Sampler::Sampler(SamplingParams params, std::span<const int32_t> prompt, uint64_t seed)
    : params_(std::move(params)),
      seed_(params_.seed.value_or(seed)),
      penalises_(params_.repetition_penalty != 1.0 || params_.presence_penalty != 0.0 ||
                 params_.frequency_penalty != 0.0) {
  if (penalises_) {
    for (int32_t token : prompt) seen_.try_emplace(token, 0);
  }
}

Sampled Sampler::sample(std::span<const float> logits) {
  Sampled out;
  if (penalises_) {
    std::vector<float> penalised(logits.begin(), logits.end());
    penalise(penalised);
    out.token = choose(penalised);
    ++seen_[out.token];
  } else {
    out.token = choose(logits);
  }
  ++index_;
  if (params_.logprobs) {
    const double normalizer = log_sum_exp(logits);
    const auto logprob = [&](int32_t token) {
      return TokenLogprob{token, static_cast<float>(logits[static_cast<size_t>(token)] - normalizer)};
    };
    out.own = logprob(out.token);
    for (int32_t token : best_tokens(logits, static_cast<size_t>(*params_.logprobs))) {
      out.top.push_back(logprob(token));
    }
  }
  return out;
}

void Sampler::penalise(std::vector<float>& logits) const {
  const auto repetition = static_cast<float>(params_.repetition_penalty);
  for (const auto& [token, count] : seen_) {
    float& logit = logits[static_cast<size_t>(token)];
    logit = logit > 0.0f ? logit / repetition : logit * repetition;
    if (count > 0) {
      logit -= static_cast<float>(params_.presence_penalty + params_.frequency_penalty * count);
    }
  }
}

int32_t Sampler::choose(std::span<const float> logits) {
  if (params_.temperature == 0.0) return best_token(logits);
  const Filter filter{params_.temperature, params_.top_k, params_.top_p, params_.min_p};
  return draw(logits, filter, uniform(seed_, index_));
}

}  // namespace zeta::engine
