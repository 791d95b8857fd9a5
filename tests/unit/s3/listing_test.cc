#include <gtest/gtest.h>

#include "src/s3/bucket.h"

namespace zeta::s3 {
namespace {

constexpr char kStart[] =
    R"(<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">)";

TEST(ListingOfABucket, ObjectsAndFolders) {
  const auto listing = parse_listing(std::string(kStart) + R"(<IsTruncated>true</IsTruncated>
      <NextContinuationToken>a&amp;b</NextContinuationToken><EncodingType>url</EncodingType>
      <Contents><Key>m/1/a+b%2Bc%C3%A9.pt</Key><Size>12</Size><ETag>&quot;e1&quot;</ETag></Contents>
      <Contents><ETag>"e2"</ETag><Size>0</Size><Key>m/config.pbtxt</Key></Contents>
      <CommonPrefixes><Prefix>m/</Prefix></CommonPrefixes></ListBucketResult>)");
  ASSERT_TRUE(listing.ok()) << listing.status();
  EXPECT_EQ(listing->next, "a&b");
  ASSERT_EQ(listing->objects.size(), 2u);
  EXPECT_EQ(listing->objects[0].key, "m/1/a b+c\xc3\xa9.pt");
  EXPECT_EQ(listing->objects[0].size, 12u);
  EXPECT_EQ(listing->objects[0].etag, "\"e1\"");
  EXPECT_EQ(listing->objects[1].key, "m/config.pbtxt");
  EXPECT_EQ(listing->folders, std::vector<std::string>{"m/"});
}

TEST(ListingOfABucket, RefusesWhatIsNone) {
  const std::string start = kStart;
  for (const std::string& bad :
       {std::string(), std::string("<html></html>"), start, start + "<IsTruncated>true</IsTruncated>",
        start + "<IsTruncated>false</IsTruncated><Contents><Key>a</Key></Contents>",
        start + "<IsTruncated>false</IsTruncated><Contents><Key>a</Key><Size>-1</Size></Contents>"}) {
    EXPECT_FALSE(parse_listing(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace zeta::s3
