#include "apps/zeta-server/grpc/message_split.h"

#include <gtest/gtest.h>

#include "grpc_service.pb.h"
#include "src/base/concat.h"
#include "src/serving/tensor.h"

namespace zeta::server::grpc_api {
namespace {

constexpr uint32_t kField = inference::ModelInferRequest::kRawInputContentsFieldNumber;

// `text` in pieces of `size` bytes, with empty ones between.
std::vector<serving::Buffer> cut(const std::string& text, size_t size) {
  std::vector<serving::Buffer> pieces{{}};
  for (size_t at = 0; at < text.size(); at += size) {
    pieces.push_back(serving::make_buffer(text.substr(at, size)));
    pieces.emplace_back();
  }
  return pieces;
}

inference::ModelInferRequest example() {
  inference::ModelInferRequest message;
  message.set_model_name("model");
  message.set_id(std::string(300, 'i'));
  message.add_raw_input_contents(std::string(5000, 'a'));
  message.add_raw_input_contents("");
  message.add_inputs()->add_shape(-1);
  message.add_raw_input_contents("short");
  message.GetReflection()->MutableUnknownFields(&message)->AddFixed64(100, 7);
  message.GetReflection()->MutableUnknownFields(&message)->AddFixed32(101, 7);
  message.GetReflection()->MutableUnknownFields(&message)->AddVarint(1 << 28, UINT64_MAX);
  return message;
}

std::string_view to_view(const serving::Buffer& buffer) {
  return {reinterpret_cast<const char*>(buffer.data), buffer.size};
}

TEST(SplitMessage, TakesTheFieldOutHoweverTheMessageIsCut) {
  inference::ModelInferRequest message = example();
  const std::string text = message.SerializeAsString();
  for (const size_t size : {size_t{1}, size_t{2}, size_t{7}, size_t{4999}, text.size()}) {
    const auto split = split_message(cut(text, size), kField);
    ASSERT_TRUE(split.ok()) << size;
    ASSERT_EQ(split->raw.size(), 3u);
    EXPECT_EQ(to_view(split->raw[0]), std::string(5000, 'a'));
    EXPECT_EQ(to_view(split->raw[1]), "");
    EXPECT_EQ(to_view(split->raw[2]), "short");
    inference::ModelInferRequest rest;
    ASSERT_TRUE(rest.ParseFromString(split->head));
    message.clear_raw_input_contents();
    EXPECT_EQ(rest.SerializeAsString(), message.SerializeAsString());
    message = example();
  }
}

TEST(SplitMessage, LargeValuesWithinAPieceAreNotCopied) {
  const std::string text = example().SerializeAsString();
  const std::vector<serving::Buffer> pieces = cut(text, text.size());
  const auto split = split_message(pieces, kField);
  EXPECT_EQ(split->raw[0].owner, pieces[1].owner);
  EXPECT_NE(split->raw[2].owner, pieces[1].owner) << "small ones are";
}

TEST(SplitMessage, EmptyValuesTakeNoMemoryAndAreNotWithoutEnd) {
  std::string text;
  for (size_t i = 0; i < kMaxValues; ++i) text += std::string("\x3a\0", 2);
  const auto split = split_message(cut(text, 1000), kField);
  ASSERT_TRUE(split.ok()) << split.status();
  EXPECT_EQ(split->raw.size(), kMaxValues);
  EXPECT_EQ(split->raw[0].owner, nullptr);
  for (const char* field : {"\x3a", "\x2a"}) {  // raw contents, an input
    const std::string more = concat(text, field, std::string(1, '\0'));
    const absl::Status status = split_message(cut(more, 1000), kField).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status));
    EXPECT_EQ(status.message(), "the request has more than 65536 fields");
  }
}

TEST(SplitMessage, DamageIsFound) {
  const std::string text = example().SerializeAsString();
  size_t refused = 0;
  for (size_t size = 0; size < text.size(); ++size) {
    const auto split = split_message(cut(text.substr(0, size), 1000), kField);
    refused += split.ok() ? 0 : 1;
    if (!split.ok()) EXPECT_TRUE(absl::IsInvalidArgument(split.status()));
  }
  // Only where a field has just ended is a part of a message a message.
  EXPECT_EQ(refused, text.size() - 9);
  for (const std::string bad : {"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "\x3b", "\x3c", "\x3e",
                                "\x02\x00", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"}) {
    EXPECT_FALSE(split_message(cut(bad, 3), kField).ok());
  }
}

}  // namespace
}  // namespace zeta::server::grpc_api
