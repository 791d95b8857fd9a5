#include <gtest/gtest.h>

#include "src/s3/credentials.h"

namespace zeta::s3 {
namespace {

constexpr std::time_t kTime = 1369353600;  // 2013-05-24T00:00:00Z

// The example "GET Bucket (List Objects)" of Amazon's documentation of Signature Version 4 for S3.
TEST(Signature, AmazonsExample) {
  Credentials credentials;
  credentials.key_id = "AKIAIOSFODNN7EXAMPLE";
  credentials.secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
  const SignedRequest request{
      "GET", "examplebucket.s3.amazonaws.com", "/", {{"prefix", "J"}, {"max-keys", "2"}}};
  const Headers headers = sign(request, credentials, kTime);
  ASSERT_EQ(headers.size(), 3u);
  EXPECT_EQ(headers[1], (std::pair<std::string, std::string>{"x-amz-date", "20130524T000000Z"}));
  EXPECT_EQ(headers[2].second,
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
            "SignedHeaders=host;x-amz-content-sha256;x-amz-date, "
            "Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

TEST(Signature, SessionTokenIsSigned) {
  Credentials credentials;
  credentials.key_id = "id";
  credentials.secret = "secret";
  credentials.session_token = "token";
  const Headers headers = sign({"GET", "host", "/", {}}, credentials, kTime);
  EXPECT_EQ(headers[2].second, "token");
  EXPECT_NE(headers[3].second.find("x-amz-date;x-amz-security-token"), std::string::npos);
}

TEST(Signature, NoneWithoutCredentials) { EXPECT_TRUE(sign({"GET", "host", "/", {}}, {}, kTime).empty()); }

TEST(Encoding, LeavesWhatSignaturesLeave) {
  EXPECT_EQ(encode("a/b c+~\xc3\xa9", true), "a/b%20c%2B~%C3%A9");
  EXPECT_EQ(encode("a/b", false), "a%2Fb");
  EXPECT_EQ(encode_query({{"b", "2"}, {"a", "/"}}), "a=%2F&b=2");
}

}  // namespace
}  // namespace zeta::s3
