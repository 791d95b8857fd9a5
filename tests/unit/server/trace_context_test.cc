#include "apps/zeta-server/tracing/trace_context.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace zeta::server {
namespace {

constexpr char kGood[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

TEST(TraceContext, IsRead) {
  const auto context = read_trace_context(kGood, "vendor=1");
  ASSERT_TRUE(context.has_value());
  EXPECT_EQ(context->trace_id[0], 0x0a);
  EXPECT_EQ(context->trace_id[15], 0x9c);
  EXPECT_EQ(context->parent_span[7], 0x31);
  EXPECT_EQ(context->state, "vendor=1");
  EXPECT_EQ(read_trace_context(kGood, std::string(513, 'a'))->state, "");
}

TEST(TraceContext, VersionsToComeMayBeLonger) {
  const std::string later = "01" + std::string(kGood).substr(2);
  EXPECT_TRUE(read_trace_context(later, "").has_value());
  EXPECT_TRUE(read_trace_context(later + "-more", "").has_value());
  EXPECT_FALSE(read_trace_context(later + "more", "").has_value());
}

TEST(TraceContext, WhatIsNotWellFormedIsPassedOver) {
  const std::string good = kGood;
  const std::vector<std::string> all = {"",
                                        "x",
                                        good + "-more",
                                        "ff" + good.substr(2),
                                        good.substr(0, 54),
                                        "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                                        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
                                        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
                                        "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"};
  for (const std::string& bad : all) {
    EXPECT_FALSE(read_trace_context(bad, "").has_value()) << bad;
  }
}

}  // namespace
}  // namespace zeta::server
