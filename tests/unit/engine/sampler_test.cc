#include "src/engine/sampler.h"

#include <gtest/gtest.h>

#include <cmath>

namespace zeta::engine {
namespace {

std::vector<int32_t> run(const SamplingParams& params, const std::vector<float>& logits, int steps,
                         uint64_t seed = 0, std::vector<int32_t> prompt = {}) {
  Sampler sampler(params, prompt, seed);
  std::vector<int32_t> out;
  for (int i = 0; i < steps; ++i) out.push_back(sampler.sample(logits).token);
  return out;
}

SamplingParams greedy() {
  SamplingParams params;
  params.temperature = 0.0;
  return params;
}

TEST(Sampler, TheSameSeedGivesTheSameTokens) {
  const std::vector<float> logits(50, 0.0f);
  SamplingParams params;
  EXPECT_EQ(run(params, logits, 40, 1), run(params, logits, 40, 1));
  EXPECT_NE(run(params, logits, 40, 1), run(params, logits, 40, 2));
  params.seed = 9;
  EXPECT_EQ(run(params, logits, 40, 1), run(params, logits, 40, 2));
}

// Philox, fp32 weights and their order are the same everywhere: computed apart in
// Python, these tokens must never change.
TEST(Sampler, TokensOfASeedAreFixed) {
  SamplingParams params;
  params.seed = 1234;
  std::vector<float> logits;
  for (int i = 0; i < 10; ++i) logits.push_back(0.25f * static_cast<float>(i));
  EXPECT_EQ(run(params, logits, 8), (std::vector<int32_t>{9, 3, 9, 3, 9, 4, 8, 7}));
}

TEST(Sampler, RepetitionPenaltyCoversThePrompt) {
  SamplingParams params = greedy();
  params.repetition_penalty = 2.0;
  EXPECT_EQ(run(params, {3, 2, 1}, 1, 0, {0}), (std::vector<int32_t>{1}));       // 3/2 < 2
  EXPECT_EQ(run(params, {-1, -1.5, -9}, 1, 0, {0}), (std::vector<int32_t>{1}));  // −1·2 < −1.5
}

TEST(Sampler, PresenceAndFrequencyCountTheCompletionOnly) {
  SamplingParams presence = greedy();
  presence.presence_penalty = 1.5;
  EXPECT_EQ(run(presence, {2, 1, 0}, 4, 0, {0}), (std::vector<int32_t>{0, 1, 0, 0}));
  SamplingParams frequency = greedy();
  frequency.frequency_penalty = 0.6;
  EXPECT_EQ(run(frequency, {2, 1, 0}, 4, 0, {0}), (std::vector<int32_t>{0, 0, 1, 0}));
}

TEST(Sampler, LogprobsAreOfTheUntouchedDistribution) {
  SamplingParams params = greedy();
  params.repetition_penalty = 100.0;
  params.logprobs = 2;
  const std::vector<float> logits{std::log(0.5f), std::log(0.3f), std::log(0.2f)};
  const std::vector<int32_t> prompt{2};
  Sampler sampler(params, prompt, 0);
  const Sampled sampled = sampler.sample(logits);
  EXPECT_EQ(sampled.token, 0);
  EXPECT_NEAR(sampled.own.logprob, std::log(0.5), 1e-6);
  ASSERT_EQ(sampled.top.size(), 2u);
  EXPECT_EQ(sampled.top[1].token, 1);
  EXPECT_NEAR(sampled.top[1].logprob, std::log(0.3), 1e-6);
}

TEST(SamplingParams, RangesAreNamed) {
  const auto complaint = [](auto set) {
    SamplingParams params;
    set(params);
    return std::string(validate(params).message());
  };
  EXPECT_EQ(complaint([](auto&) {}), "");
  EXPECT_EQ(complaint([](auto& p) { p.temperature = -1; }), "expected temperature from 0 to 100, got -1");
  EXPECT_NE(complaint([](auto& p) { p.temperature = NAN; }).find("temperature"), std::string::npos);
  EXPECT_NE(complaint([](auto& p) { p.top_p = 1.1; }).find("top_p"), std::string::npos);
  EXPECT_NE(complaint([](auto& p) { p.top_k = -1; }).find("top_k"), std::string::npos);
  EXPECT_NE(complaint([](auto& p) { p.min_p = 2; }).find("min_p"), std::string::npos);
  EXPECT_NE(complaint([](auto& p) { p.max_tokens = 0; }).find("max_tokens"), std::string::npos);
  EXPECT_NE(complaint([](auto& p) { p.repetition_penalty = 0; }).find("repetition"), std::string::npos);
  EXPECT_NE(complaint([](auto& p) { p.presence_penalty = 3; }).find("presence"), std::string::npos);
  EXPECT_NE(complaint([](auto& p) { p.frequency_penalty = -3; }).find("frequency"), std::string::npos);
  EXPECT_NE(complaint([](auto& p) { p.logprobs = 21; }).find("logprobs"), std::string::npos);
  EXPECT_NE(complaint([](auto& p) { p.stop = {""}; }).find("stop"), std::string::npos);
  EXPECT_NE(complaint([](auto& p) { p.stop.resize(17, "x"); }).find("16"), std::string::npos);
}

}  // namespace
}  // namespace zeta::engine
