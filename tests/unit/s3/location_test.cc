#include "src/s3/location.h"

#include <gtest/gtest.h>

namespace zeta::s3 {
namespace {

TEST(Location, BucketAndPath) {
  const auto location = parse_location("s3://models/some/path/");
  ASSERT_TRUE(location.ok()) << location.status();
  EXPECT_EQ(location->bucket, "models");
  EXPECT_EQ(location->prefix, "some/path/");
  EXPECT_EQ(location->endpoint.host, "");
  EXPECT_EQ(parse_location("s3://models")->prefix, "");
}

TEST(Location, ServersAreAskedOverHttpUnlessTheySayHttps) {
  const auto plain = parse_location("s3://localhost:9000/models/a");
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_EQ(plain->endpoint.authority(), "localhost:9000");
  EXPECT_FALSE(plain->endpoint.tls);
  EXPECT_EQ(plain->bucket, "models");
  EXPECT_EQ(plain->prefix, "a/");
  const auto tls = parse_location("s3://https://store.example:443/models");
  ASSERT_TRUE(tls.ok()) << tls.status();
  EXPECT_TRUE(tls->endpoint.tls);
  EXPECT_EQ(tls->endpoint.authority(), "store.example");
  EXPECT_EQ(tls->bucket, "models");
}

TEST(Location, WhatIsWrongIsNamed) {
  for (const char* bad : {"s3://", "s3:///path", "s3://a", "s3://host:99999/bucket", "s3://host:9000",
                          "s3://http://host:9000", "s3://buck et/a", "s3://a..b/c"}) {
    const auto location = parse_location(bad);
    ASSERT_FALSE(location.ok()) << bad;
    EXPECT_NE(std::string(location.status().message()).find(bad), std::string::npos) << location.status();
  }
}

TEST(Url, Parts) {
  const auto url = http::parse_url("https://[::1]:4318/v1/traces");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_TRUE(url->tls);
  EXPECT_EQ(url->host, "::1");
  EXPECT_EQ(url->port, 4318);
  EXPECT_EQ(url->path, "/v1/traces");
  EXPECT_EQ(url->authority(), "[::1]:4318");
  EXPECT_EQ(http::parse_url("http://host")->port, 80);
  EXPECT_EQ(http::parse_url("http://host")->path, "/");
  for (const char* bad : {"host:80", "ftp://host", "http://", "http://:80", "http://host:0", "http://host:x",
                          "http://host/a?b", "http://user@host/", "http://[::1/"}) {
    EXPECT_FALSE(http::parse_url(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace zeta::s3
