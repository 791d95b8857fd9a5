// Ids and texts are those of Python's tokenizers, for each scheme of tokenizer.
#include "golden.h"

namespace zeta::text {
namespace {

using Ids = std::vector<int32_t>;

struct Scheme : testing::TestWithParam<std::string> {
  std::unique_ptr<Tokenizer> tokenizer = golden_tokenizer(GetParam());
  boost::json::value cases = golden_json("encodings.json").at(GetParam());
};

TEST_P(Scheme, EncodesAsPython) {
  for (const boost::json::value& item : cases.as_array()) {
    const auto text = boost::json::value_to<std::string>(item.at("text"));
    SCOPED_TRACE(text);
    EXPECT_EQ(tokenizer->encode(text, true).value(), boost::json::value_to<Ids>(item.at("ids")));
    EXPECT_EQ(tokenizer->encode(text, false).value(),
              boost::json::value_to<Ids>(item.at("ids_without_special_tokens")));
  }
}

TEST_P(Scheme, DecodesAsPython) {
  for (const boost::json::value& item : cases.as_array()) {
    const auto ids = boost::json::value_to<Ids>(item.at("ids"));
    EXPECT_EQ(tokenizer->decode(ids, false).value(), item.at("decoded").as_string());
    EXPECT_EQ(tokenizer->decode(ids, true).value(), item.at("decoded_without_special_tokens").as_string());
  }
}

TEST_P(Scheme, StreamsWhatItDecodes) {
  for (const boost::json::value& item : cases.as_array()) {
    for (const bool skip : {false, true}) {
      IncrementalDecoder decoder(*tokenizer, skip);
      std::string streamed;
      for (const int32_t id : boost::json::value_to<Ids>(item.at("ids")))
        streamed += decoder.push(id).value();
      streamed += decoder.finish().value();
      EXPECT_EQ(streamed, item.at(skip ? "decoded_without_special_tokens" : "decoded").as_string());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Golden, Scheme,
                         testing::Values("byte_level", "byte_level_split", "byte_fallback", "metaspace"),
                         [](const auto& scheme) { return scheme.param; });

}  // namespace
}  // namespace zeta::text
