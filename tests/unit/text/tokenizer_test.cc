#include "golden.h"
#include "temporary_folder.h"

namespace zeta::text {
namespace {

absl::Status load_status(std::string_view json) {
  TemporaryFolder folder;
  folder.write("tokenizer.json", json);
  return Tokenizer::load(folder.path()).status();
}

TEST(Tokenizer, NamesTheMissingFile) {
  const absl::Status status = Tokenizer::load("/nonexistent").status();
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_EQ(status.message(), "cannot read /nonexistent/tokenizer.json: No such file or directory");
}

TEST(Tokenizer, RefusesAFolderInPlaceOfTheFile) {
  TemporaryFolder folder;
  std::filesystem::create_directory(folder.path() + "/tokenizer.json");
  const absl::Status status = Tokenizer::load(folder.path()).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
}

TEST(Tokenizer, RefusesEveryTruncation) {
  const std::string whole = golden_file("byte_fallback/tokenizer.json");
  const size_t end = whole.find_last_not_of('\n') + 1;
  for (size_t size = 0; size < end; size += 97) {
    const absl::Status status = load_status(whole.substr(0, size));
    ASSERT_TRUE(absl::IsInvalidArgument(status)) << size << " bytes: " << status;
  }
  EXPECT_TRUE(absl::IsInvalidArgument(load_status(whole.substr(0, end - 1))));
  EXPECT_TRUE(load_status(whole).ok());
}

TEST(Tokenizer, RefusesForeignFiles) {
  const std::string deep(100000, '[');
  for (const std::string& content : {std::string("\x7f\x45LF\x00\x01\xff\xfe", 8), std::string("{}"), deep,
                                     std::string(R"({"model": {"type": "BPE"}})"), std::string("null")}) {
    const absl::Status status = load_status(content);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_NE(status.message().find("tokenizer.json: "), std::string::npos) << status;
  }
}

TEST(Tokenizer, RefusesTextThatIsNotUtf8) {
  const auto tokenizer = golden_tokenizer("byte_level");
  for (const std::string text : {"abc\xff", "abc\xe4\xb8", "abc\xed\xa0\x80"}) {
    const absl::Status status = tokenizer->encode(text, true).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_EQ(status.message(), "text is not UTF-8: bad byte at offset 3");
  }
}

TEST(Tokenizer, DecodesUnknownIdsToNothingAndRefusesNegativeOnes) {
  const auto tokenizer = golden_tokenizer("byte_level");
  std::vector<int32_t> ids = tokenizer->encode("mill", false).value();
  ids.insert(ids.begin() + 1, {tokenizer->vocab_size(), INT32_MAX});
  EXPECT_EQ(tokenizer->decode(ids, true).value(), "mill");
  ids.push_back(-1);
  EXPECT_EQ(tokenizer->decode(ids, true).status().message(), "expected token ids ≥ 0, got -1");
  EXPECT_EQ(tokenizer->decode({}, true).value(), "");
}

TEST(Tokenizer, CountsAddedTokens) {
  EXPECT_EQ(golden_tokenizer("byte_level")->vocab_size(), 560);
  EXPECT_EQ(golden_tokenizer("byte_level_split")->vocab_size(), 401);
}

TEST(Tokenizer, MeasuresItsLongestToken) {
  EXPECT_EQ(golden_tokenizer("byte_fallback")->longest_token_bytes(), std::string("▁считает").size());
  EXPECT_EQ(golden_tokenizer("byte_level")->longest_token_bytes(), 2 * std::string(" считает").size());
}

TEST(Tokenizer, KeepsALongRunOfSpacesWhole) {
  const auto tokenizer = golden_tokenizer("byte_level");
  const std::string text = "a" + std::string(200'000, ' ') + "b";
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(text, false).value(), false).value(), text);
}

}  // namespace
}  // namespace zeta::text
