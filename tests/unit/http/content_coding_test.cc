#include "src/http/content_coding.h"

#include <gtest/gtest.h>

namespace zeta::http {
namespace {

TEST(ChooseCoding, TheHighestRated) {
  EXPECT_EQ(choose_coding(""), Coding::kIdentity);
  EXPECT_EQ(choose_coding("br, identity"), Coding::kIdentity);
  EXPECT_EQ(choose_coding("gzip, deflate"), Coding::kGzip);
  EXPECT_EQ(choose_coding("GZIP;q=0.2 , deflate; q=0.5"), Coding::kDeflate);
  EXPECT_EQ(choose_coding("gzip;q=0"), Coding::kIdentity);
  EXPECT_EQ(choose_coding(",,;q=,gzip;q=x"), Coding::kIdentity);
}

TEST(CompressResponse, SmallBodiesStayAsTheyAre) {
  Response response;
  response.body = "short";
  compress_response(response, "gzip");
  EXPECT_EQ(response.body, "short");
  EXPECT_TRUE(response.headers.empty());
}

TEST(CompressResponse, AndBackAgain) {
  for (const char* accepted : {"gzip", "deflate"}) {
    const std::string tail(200'000, 't');
    Response response;
    response.body = std::string(3000, 'b');
    response.tail = {{tail, nullptr}, {"end", nullptr}};
    compress_response(response, accepted);
    EXPECT_EQ(response.headers.front().second, accepted);
    EXPECT_TRUE(response.tail.empty());
    EXPECT_LT(response.body.size(), 3000u);
    std::string body = response.body;
    ASSERT_EQ(inflate_body(body, 203'003), Inflation::kDone);
    EXPECT_EQ(body, std::string(3000, 'b') + tail + "end");
    body = response.body;
    EXPECT_EQ(inflate_body(body, 203'002), Inflation::kTooLarge);
    for (size_t size = 0; size < response.body.size(); size += 7) {
      body = response.body.substr(0, size);
      EXPECT_EQ(inflate_body(body, 1 << 20), Inflation::kDamaged) << size;
    }
  }
}

}  // namespace
}  // namespace zeta::http
