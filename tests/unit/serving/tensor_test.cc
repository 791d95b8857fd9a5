#include "src/serving/tensor.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "src/serving/data_type.h"

namespace zeta::serving {
namespace {

TEST(DataType, NamesGoBothWays) {
  for (int i = 0; i <= static_cast<int>(DataType::kBytes); ++i) {
    const auto type = static_cast<DataType>(i);
    EXPECT_EQ(parse_data_type(data_type_name(type)), type);
  }
  EXPECT_EQ(parse_data_type("FLOAT"), std::nullopt);
  EXPECT_EQ(element_size(DataType::kBf16), 2u);
}

TEST(ElementCount, MultipliesAndRefuses) {
  EXPECT_EQ(*element_count({}), 1);
  EXPECT_EQ(*element_count({2, 0, 5}), 0);
  EXPECT_FALSE(element_count({-1}).ok());
  EXPECT_FALSE(element_count({int64_t{1} << 40, int64_t{1} << 40}).ok());
}

TEST(BytesTensor, GivesItsElementsBack) {
  const Tensor tensor = bytes_tensor("t", {"", "ab", std::string_view("\0x", 2)});
  const auto elements = bytes_elements(tensor);
  ASSERT_TRUE(elements.ok());
  EXPECT_EQ(elements->at(1), "ab");
  EXPECT_EQ(elements->at(2), std::string_view("\0x", 2));
}

TEST(Int32Tensor, HoldsItsElements) {
  const Tensor tensor = int32_tensor("t", std::vector<int32_t>{5, -6});
  EXPECT_EQ(tensor.datatype, DataType::kInt32);
  EXPECT_EQ(tensor.shape, std::vector<int64_t>{2});
  const std::string_view bytes(reinterpret_cast<const char*>(tensor.data.data), tensor.data.size);
  EXPECT_EQ(bytes, std::string_view("\x05\0\0\0\xFA\xFF\xFF\xFF", 8));
  EXPECT_EQ(int32_tensor("t", {}).data.size, 0U);
}

TEST(BytesTensor, RefusesDamage) {
  Tensor tensor = bytes_tensor("t", {"abc"});
  for (const size_t size : {1, 3, 4, 6}) {
    tensor.data.size = size;
    EXPECT_FALSE(bytes_elements(tensor).ok()) << size;
  }
  tensor = bytes_tensor("t", {"abc"});
  tensor.shape = {2};
  EXPECT_EQ(bytes_elements(tensor).status().message(),
            "BYTES tensor 't': expected 2 elements for shape [2], got 1");
}

TEST(MakeBuffer, KeepsShortStringsInPlace) {
  // A short string lives inside the std::string object, which must not move.
  const Buffer first = make_buffer("ab");
  const Buffer copy = first;
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(copy.data), copy.size), "ab");
}

}  // namespace
}  // namespace zeta::serving
