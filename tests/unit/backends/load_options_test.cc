#include "src/backends/generative/load_options.h"

#include <gtest/gtest.h>

namespace zeta::generative {
namespace {

constexpr int64_t kGiB = int64_t{1} << 30;

TEST(LoadOptions, ByDefaultOneSequenceFitsTheDefaultCache) {
  EXPECT_EQ(choose_max_model_len({}, 1000, 1 << 20), 1000);
  EXPECT_EQ(choose_max_model_len({}, 131072, 1 << 20), 4096);
  const auto limits = engine_limits({}, 4096, 1 << 20);
  ASSERT_TRUE(limits.ok()) << limits.status();
  EXPECT_EQ(limits->scheduler.kv_cache_tokens, 4096) << "4 GiB, however many sequences";
}

TEST(LoadOptions, WhatIsGivenHolds) {
  LoadOptions options;
  options.kv_cache_bytes = 8 * kGiB;
  EXPECT_EQ(choose_max_model_len(options, 131072, 1 << 20), 131072);
  options.max_model_len = 8192;
  EXPECT_EQ(choose_max_model_len(options, 131072, 1 << 20), 8192);
  EXPECT_EQ(engine_limits(options, 8192, 1 << 20)->scheduler.kv_cache_tokens, 8192);
}

TEST(LoadOptions, SizesBeyond64BitsAreRefused) {
  const auto refused = engine_limits({}, 1 << 30, int64_t{1} << 34);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(refused.status().message().find("max_model_len = 1073741824"), std::string::npos);
  // One sequence fits 64 bits, 32 do not.
  const auto limits = engine_limits({}, 1 << 30, int64_t{1} << 32);
  ASSERT_TRUE(limits.ok()) << limits.status();
  EXPECT_EQ(limits->scheduler.kv_cache_tokens, 1 << 30);
}

}  // namespace
}  // namespace zeta::generative
