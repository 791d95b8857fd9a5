#include "src/engine/distribution.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "src/engine/random.h"

namespace zeta::engine {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr uint64_t kSeed = 7;

// Logits whose probabilities are these.
std::vector<float> logits_of(const std::vector<double>& probabilities) {
  std::vector<float> out;
  for (double p : probabilities) out.push_back(static_cast<float>(std::log(p)));
  return out;
}

std::map<int32_t, int> counts(const std::vector<float>& logits, const Filter& filter, int draws) {
  std::map<int32_t, int> out;
  for (int i = 0; i < draws; ++i) ++out[draw(logits, filter, uniform(kSeed, static_cast<uint64_t>(i)))];
  return out;
}

std::set<int32_t> support(const std::vector<float>& logits, const Filter& filter) {
  std::set<int32_t> out;
  for (const auto& [token, count] : counts(logits, filter, 5000)) out.insert(token);
  return out;
}

// Each frequency within five standard errors of its probability.
void expect_frequencies(const std::map<int32_t, int>& counts, const std::vector<double>& probabilities,
                        int draws) {
  for (size_t i = 0; i < probabilities.size(); ++i) {
    const double p = probabilities[i];
    const auto found = counts.find(static_cast<int32_t>(i));
    const double frequency = found == counts.end() ? 0.0 : static_cast<double>(found->second) / draws;
    EXPECT_NEAR(frequency, p, 5 * std::sqrt(p * (1 - p) / draws) + 1e-12) << "token " << i;
  }
}

TEST(BestToken, TiesGoToTheSmallerId) {
  EXPECT_EQ(best_token(std::vector<float>{1, 3, 3, 2}), 1);
  EXPECT_EQ(best_token(std::vector<float>{kNan, -kInf, -5}), 2);
  EXPECT_EQ(best_token(std::vector<float>{kNan, kNan}), 0);
  EXPECT_EQ(best_tokens(std::vector<float>{1, 3, kNan, 3, 2}, 3), (std::vector<int32_t>{1, 3, 4}));
  EXPECT_EQ(best_tokens(std::vector<float>{1, 2}, 5).size(), 2u);
}

TEST(LogSumExp, IsStable) {
  EXPECT_NEAR(log_sum_exp(std::vector<float>{1000, 1000}), 1000 + std::log(2.0), 1e-9);
  EXPECT_NEAR(log_sum_exp(std::vector<float>{0, -kInf, kNan}), 0.0, 1e-12);
}

TEST(Draw, FollowsTheSoftmax) {
  const std::vector<double> p{0.1, 0.5, 0.05, 0.35};
  expect_frequencies(counts(logits_of(p), {1.0, 0, 1.0, 0.0}, 20000), p, 20000);
}

TEST(Draw, TemperatureSharpens) {
  // At temperature ½ probabilities are squared: 1/10 and 9/10 of 1:3.
  expect_frequencies(counts(logits_of({0.25, 0.75}), {0.5, 0, 1.0, 0.0}, 20000), {0.1, 0.9}, 20000);
}

TEST(Draw, FiltersKeepTheLikeliestAndTheirProportions) {
  const std::vector<float> logits = logits_of({0.1, 0.4, 0.3, 0.2});
  EXPECT_EQ(support(logits, {1.0, 2, 1.0, 0.0}), (std::set<int32_t>{1, 2}));
  EXPECT_EQ(support(logits, {1.0, 0, 0.6, 0.0}), (std::set<int32_t>{1, 2}));
  EXPECT_EQ(support(logits, {1.0, 0, 0.75, 0.0}), (std::set<int32_t>{1, 2, 3}));
  EXPECT_EQ(support(logits, {1.0, 0, 0.0, 0.0}), (std::set<int32_t>{1}));
  EXPECT_EQ(support(logits, {1.0, 0, 1.0, 0.4}), (std::set<int32_t>{1, 2, 3}));
  EXPECT_EQ(support(logits, {1.0, 0, 1.0, 1.0}), (std::set<int32_t>{1}));
  expect_frequencies(counts(logits, {1.0, 3, 1.0, 0.0}, 20000), {0.0, 4 / 9.0, 3 / 9.0, 2 / 9.0}, 20000);
}

TEST(Draw, TopPCountsItsShareOfWhatTopKLeft) {
  // Of {0.4, 0.3} the first has 57 %: enough for 0.5, not for 0.6.
  const std::vector<float> logits = logits_of({0.1, 0.4, 0.3, 0.2});
  EXPECT_EQ(support(logits, {1.0, 2, 0.5, 0.0}), (std::set<int32_t>{1}));
  EXPECT_EQ(support(logits, {1.0, 2, 0.6, 0.0}), (std::set<int32_t>{1, 2}));
}

TEST(Draw, NeverGivesWhatIsImpossible) {
  const std::vector<float> logits{-kInf, 2, kNan, -kInf, 2};
  for (const Filter& filter :
       {Filter{1.0, 0, 1.0, 0.0}, Filter{1.0, 4, 0.99, 0.0}, Filter{100.0, 0, 1.0, 0.01}}) {
    EXPECT_EQ(support(logits, filter), (std::set<int32_t>{1, 4}));
  }
  EXPECT_EQ(draw(logits, {1.0, 0, 1.0, 0.0}, std::nextafter(1.0, 0.0)), 4);
  EXPECT_EQ(draw(std::vector<float>{-5, kInf, 3}, {1.0, 0, 1.0, 0.0}, 0.7), 1);
}

}  // namespace
}  // namespace zeta::engine
