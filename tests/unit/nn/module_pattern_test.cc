#include "src/nn/module_pattern.h"

#include <gtest/gtest.h>

#include "src/nn/model_error.h"
#include "tests/unit/nn/folder_fixture.h"

namespace zeta::nn {
namespace {

constexpr const char* kDown = "model.layers.10.mlp.down_proj";

std::string complaint(const std::string& text) {
  return message_of<ModelError>([&] { ModulePattern::transformers(text, "config.json"); });
}

TEST(ModulePattern, MatchesNamesAsTheirLibrariesDo) {
  EXPECT_TRUE(ModulePattern::transformers("down_proj", "").matches(kDown)) << "the end";
  EXPECT_TRUE(ModulePattern::transformers(R"(model\.layers\.1\d?\.)", "").matches(kDown)) << "the beginning";
  EXPECT_FALSE(ModulePattern::transformers("mlp", "").matches(kDown));
  EXPECT_TRUE(ModulePattern::compressed_tensors("re:.*down_proj", "").matches(kDown));
  EXPECT_FALSE(ModulePattern::compressed_tensors("down_proj", "").matches(kDown))
      << "a whole name or nothing";
  EXPECT_TRUE(ModulePattern::compressed_tensors("Linear", "").matches(kDown));
}

TEST(ModulePattern, NoPatternTakesLongToFail) {
  for (const char* text : {"(.*)*x", "(((.*)*)*)*!", "(a|.)*(b|.)*!"}) {
    EXPECT_FALSE(ModulePattern::transformers(text, "").matches(kDown)) << text;
  }
}

TEST(ModulePattern, RefusesWhatStdRegexDoesNotSurvive) {
  EXPECT_NE(complaint("a{5555555555555555555}").find("numbers of at most 4 digits"), std::string::npos);
  EXPECT_NE(complaint("(((x{999}){999}){999})").find("not a regular expression"), std::string::npos);
  EXPECT_NE(complaint(std::string(1025, '(')).find("at most 1024 characters"), std::string::npos);
  EXPECT_NE(complaint("(").find("config.json: '(' is not a regular expression"), std::string::npos);
}

}  // namespace
}  // namespace zeta::nn
