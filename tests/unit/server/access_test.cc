#include "apps/zeta-server/access.h"

#include <gtest/gtest.h>

namespace zeta::server {
namespace {

TEST(AccessRules, OneHeaderForSeveralApis) {
  AccessRules rules;
  ASSERT_TRUE(rules.add("health,model-config:key=a=b").ok());
  ASSERT_NE(rules.find(Api::kHealth), nullptr);
  EXPECT_EQ(rules.find(Api::kHealth)->header, "key");
  EXPECT_EQ(rules.find(Api::kModelConfig)->value, "a=b");
  EXPECT_EQ(rules.find(Api::kInference), nullptr);
}

TEST(AccessRules, WhatIsWrongIsRefusedWithoutTellingTheSecret) {
  AccessRules rules;
  for (const char* bad : {"", "health", "health:", "health:key", "health:=v", "health:key=", "other:key=v"}) {
    const absl::Status status = rules.add(bad);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << bad;
  }
  EXPECT_EQ(std::string(rules.add("nothing:key=secret").message()).find("secret"), std::string::npos);
}

TEST(HeaderPattern, WholeNamesWithoutCase) {
  const auto pattern = HeaderPattern::make("x-(user|team)");
  ASSERT_TRUE(pattern.ok());
  EXPECT_TRUE((*pattern)->matches("X-User"));
  EXPECT_FALSE((*pattern)->matches("x-username"));
  EXPECT_TRUE(absl::IsInvalidArgument(HeaderPattern::make("(").status()));
}

TEST(EqualInConstantTime, Compares) {
  EXPECT_TRUE(equal_in_constant_time("", ""));
  EXPECT_TRUE(equal_in_constant_time("secret", "secret"));
  EXPECT_FALSE(equal_in_constant_time("secret", "secreT"));
  EXPECT_FALSE(equal_in_constant_time("secret", "secret2"));
}

}  // namespace
}  // namespace zeta::server
