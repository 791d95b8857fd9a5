#include "apps/zeta-server/client_rate.h"

#include <gtest/gtest.h>

namespace zeta::server {
namespace {

using std::chrono::milliseconds;

TEST(ClientRate, EachClientHasItsOwn) {
  ClientRate rate(2);
  const ClientRate::Clock::time_point start{};
  EXPECT_TRUE(rate.take("a", start).ok());
  EXPECT_TRUE(rate.take("a", start).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(rate.take("a", start)));
  EXPECT_TRUE(rate.take("b", start).ok());
  EXPECT_FALSE(rate.take("a", start + milliseconds(499)).ok());
  EXPECT_TRUE(rate.take("a", start + milliseconds(500)).ok());
}

TEST(ClientRate, LessThanOneASecond) {
  ClientRate rate(0.1);
  const ClientRate::Clock::time_point start{};
  EXPECT_TRUE(rate.take("a", start).ok());
  EXPECT_FALSE(rate.take("a", start + milliseconds(9'900)).ok());
  EXPECT_TRUE(rate.take("a", start + milliseconds(10'000)).ok());
}

TEST(ClientRate, ForgettingIdleClientsGivesNobodyMore) {
  ClientRate rate(1);
  ClientRate::Clock::time_point now{};
  EXPECT_TRUE(rate.take("busy", now).ok());
  for (int i = 0; i < 5'000; ++i) EXPECT_TRUE(rate.take(std::to_string(i), now).ok());
  EXPECT_FALSE(rate.take("busy", now).ok());
}

TEST(ClientRate, ZeroIsNoLimit) {
  ClientRate rate(0);
  for (int i = 0; i < 1'000; ++i) EXPECT_TRUE(rate.take("a").ok());
}

}  // namespace
}  // namespace zeta::server
