#include <random>

#include "golden.h"

namespace zeta::text {
namespace {

// The tokens of bytes, whichever bytes they are: id_of[b] decodes to byte b alone.
std::vector<int32_t> byte_ids(const Tokenizer& tokenizer, const std::string& scheme) {
  const boost::json::value vocabulary = golden_json(scheme + "/tokenizer.json").at("model").at("vocab");
  std::vector<int32_t> id_of(256, -1);
  if (scheme == "byte_fallback") {
    for (int byte = 0; byte < 256; ++byte) id_of[byte] = 3 + byte;
    return id_of;
  }
  // Bytes that are characters of their own stand for themselves, the others for U+0100 and following.
  int next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const bool own = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    const int c = own ? byte : next++;
    const std::string key =
        c < 0x80 ? std::string(1, static_cast<char>(c))
                 : std::string{static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 0x3F))};
    id_of[byte] = static_cast<int32_t>(vocabulary.at(key).as_int64());
  }
  EXPECT_EQ(tokenizer.decode({id_of['A'], id_of[' '], id_of[0xC3], id_of[0xA9]}, false).value(), "A é");
  return id_of;
}

struct ByteTokens {
  explicit ByteTokens(const std::string& scheme)
      : tokenizer(golden_tokenizer(scheme)), id_of(byte_ids(*tokenizer, scheme)), decoder(*tokenizer) {}

  std::string push(std::string_view bytes) {
    std::string text;
    for (const unsigned char byte : bytes) text += decoder.push(id_of[byte]).value();
    return text;
  }
  std::string finish() { return decoder.finish().value(); }
  std::string push_all(std::string_view bytes) {
    const std::string text = push(bytes);
    return text + finish();
  }

  std::unique_ptr<Tokenizer> tokenizer;
  std::vector<int32_t> id_of;
  IncrementalDecoder decoder;
};

bool is_utf8(const std::string& text) {
  // The tokenizer refuses text that is not.
  static const std::unique_ptr<Tokenizer> judge = golden_tokenizer("byte_level");
  return judge->encode(text, false).ok();
}

TEST(IncrementalDecoder, HoldsAnEmojiUntilItsLastByte) {
  for (const char* scheme : {"byte_level", "byte_fallback"}) {
    ByteTokens stream(scheme);
    EXPECT_EQ(stream.push("a\xF0"), "a") << scheme;
    EXPECT_EQ(stream.push("\x9F"), "") << scheme;
    EXPECT_EQ(stream.push("\x98"), "") << scheme;
    EXPECT_EQ(stream.push("\x80"), "😀") << scheme;
    EXPECT_EQ(stream.push("中文"), "中文") << scheme;
    EXPECT_EQ(stream.finish(), "") << scheme;
  }
}

TEST(IncrementalDecoder, GivesOutTheWholePartOfATokenThatEndsInsideACharacter) {
  const auto tokenizer = golden_tokenizer("byte_level");
  const boost::json::value vocabulary = golden_json("byte_level/tokenizer.json").at("model").at("vocab");
  IncrementalDecoder decoder(*tokenizer);
  // A space and the first byte of a letter.
  EXPECT_EQ(decoder.push(static_cast<int32_t>(vocabulary.at("ĠÎ").as_int64())).value(), " ");
  EXPECT_EQ(decoder.finish().value(), "\uFFFD");
}

TEST(IncrementalDecoder, FinishReplacesAnUnfinishedCharacterAndStartsAnew) {
  ByteTokens stream("byte_level");
  EXPECT_EQ(stream.push("ok\xE4\xB8"), "ok");
  EXPECT_EQ(stream.finish(), "\uFFFD");
  EXPECT_EQ(stream.finish(), "");
  EXPECT_EQ(stream.push("\xAD"
                        "b"),
            "\uFFFD"
            "b");
}

TEST(IncrementalDecoder, KeepsAReplacementCharacterThatIsTextItself) {
  ByteTokens stream("byte_level");
  EXPECT_EQ(stream.push_all("\uFFFD\uFFFD!"), "\uFFFD\uFFFD!");
}

TEST(IncrementalDecoder, ByteFallbackKeepsTheCharactersBeforeAStrayByte) {
  ByteTokens stream("byte_fallback");
  EXPECT_EQ(stream.push("é中"), "é中");
  EXPECT_EQ(stream.push_all("\xFF"), "\uFFFD");
}

// Found by the fuzz test.
TEST(IncrementalDecoder, TokensWithoutTextDoNotBreakACharacterApart) {
  ByteTokens stream("byte_level");
  const int32_t unknown = stream.tokenizer->vocab_size();
  std::string streamed = stream.push("\x80\xF0");
  for (int i = 0; i < 40; ++i) streamed += stream.decoder.push(unknown).value();
  streamed += stream.push("\x9F\x98\x80");
  EXPECT_EQ(streamed, "\uFFFD😀");
}

// Found by the fuzz test: each token ends inside the character that the next one begins with.
TEST(IncrementalDecoder, NoBoundaryOfTokensIsOneOfCharacters) {
  const auto tokenizer = golden_tokenizer("byte_level");
  const boost::json::value vocabulary = golden_json("byte_level/tokenizer.json").at("model").at("vocab");
  const auto id = static_cast<int32_t>(vocabulary.at("įðŁ").as_int64());  // 8D F0 9F
  const std::vector<int32_t> ids(50, id);
  IncrementalDecoder decoder(*tokenizer);
  std::string streamed;
  for (const int32_t i : ids) streamed += decoder.push(i).value();
  streamed += decoder.finish().value();
  EXPECT_EQ(streamed, tokenizer->decode(ids, true).value());
}

TEST(IncrementalDecoder, StreamsRandomBytesAsTheyDecodeAtOnce) {
  ByteTokens stream("byte_level");
  for (uint32_t seed = 0; seed < 50; ++seed) {
    std::mt19937 random(seed);
    // Mostly lead and continuation bytes: whole characters, broken ones, and long runs without any.
    std::string bytes(400, '\0');
    for (char& byte : bytes)
      byte = static_cast<char>(random() % 8 ? 0x80 + random() % 0x80 : random() % 0x80);
    std::vector<int32_t> ids;
    for (const unsigned char byte : bytes) ids.push_back(stream.id_of[byte]);
    EXPECT_EQ(stream.push_all(bytes), stream.tokenizer->decode(ids, true).value()) << "seed " << seed;
  }
}

TEST(IncrementalDecoder, StreamsRandomTokensAsTheyDecodeAtOnce) {
  for (const char* scheme : {"byte_level", "byte_level_split"}) {
    const auto tokenizer = golden_tokenizer(scheme);
    for (uint32_t seed = 0; seed < 50; ++seed) {
      std::mt19937 random(seed);
      std::vector<int32_t> ids(300);
      for (int32_t& id : ids) id = static_cast<int32_t>(random() % (tokenizer->vocab_size() + 5));
      IncrementalDecoder decoder(*tokenizer);
      std::string streamed;
      for (const int32_t id : ids) streamed += decoder.push(id).value();
      streamed += decoder.finish().value();
      EXPECT_EQ(streamed, tokenizer->decode(ids, true).value()) << scheme << " seed " << seed;
    }
  }
}

TEST(IncrementalDecoder, EveryPieceIsUtf8WhateverTheTokens) {
  for (const char* scheme : {"byte_fallback", "metaspace"}) {
    const auto tokenizer = golden_tokenizer(scheme);
    std::mt19937 random(7);
    IncrementalDecoder decoder(*tokenizer, false);
    for (int i = 0; i < 5000; ++i) {
      const std::string piece =
          decoder.push(static_cast<int32_t>(random() % tokenizer->vocab_size())).value();
      ASSERT_TRUE(is_utf8(piece)) << scheme << " token " << i;
    }
  }
}

TEST(IncrementalDecoder, MetaspaceStripsTheFirstSpaceOnly) {
  const auto tokenizer = golden_tokenizer("metaspace");
  IncrementalDecoder decoder(*tokenizer);
  const std::vector<int32_t> ids = tokenizer->encode("the mill the mill", false).value();
  std::string streamed = decoder.push(ids.front()).value();
  EXPECT_EQ(streamed, "the");
  for (size_t i = 1; i < ids.size(); ++i) streamed += decoder.push(ids[i]).value();
  EXPECT_EQ(streamed, "the mill the mill");
}

TEST(IncrementalDecoder, ARefusedIdLeavesTheStreamAsItWas) {
  ByteTokens stream("byte_level");
  EXPECT_EQ(stream.push("\xE4\xB8"), "");
  EXPECT_TRUE(absl::IsInvalidArgument(stream.decoder.push(-1).status()));
  EXPECT_EQ(stream.push("\xAD"), "中");
}

// A push that looked at all tokens so far would take 100000² / 2 token decodes here: minutes, not a second.
TEST(IncrementalDecoder, NeitherStrayBytesNorSkippedTokensMakeItSlow) {
  ByteTokens stream("byte_level");
  const int32_t eos = 2;
  for (const int32_t id : {stream.id_of[0xFF], stream.id_of[0xE4], eos}) {
    size_t size = 0;
    for (int i = 0; i < 100'000; ++i) size += stream.decoder.push(id).value().size();
    size += stream.finish().size();
    EXPECT_EQ(size, id == eos ? 0u : 300'000u);
  }
}

}  // namespace
}  // namespace zeta::text
