#include "src/nn/json_object.h"

#include <unistd.h>

#include <filesystem>

#include "src/nn/model_error.h"
#include "tests/unit/nn/folder_fixture.h"

namespace zeta::nn {
namespace {

std::string complaint(const std::string& text, const std::function<void(const JsonObject&)>& read) {
  return message_of<ModelError>([&] { read(JsonObject::parse(text, "c.json")); });
}

TEST(JsonObject, NamesFileKeyValueAndLimit) {
  EXPECT_TRUE(mentions(complaint(R"({"heads": -3})", [](auto& o) { o.integer("heads", 1, 8); }),
                       {"c.json", "heads = -3", "from 1 to 8"}));
  EXPECT_TRUE(mentions(complaint("{}", [](auto& o) { o.integer("heads", 1, 8); }),
                       {"c.json: key 'heads' is missing"}));
}

TEST(JsonObject, NamesTheKeysOfNestedObjects) {
  EXPECT_TRUE(
      mentions(complaint(R"({"a": {"b": {"c": 1.5}}})",
                         [](auto& o) { o.required_object("a").required_object("b").integer("c", 0, 9); }),
               {"c.json: a.b: c = 1.5"}));
}

TEST(JsonObject, RefusesTheWrongKindOfValue) {
  const std::string text = R"({"s": "x", "n": 1, "o": {}, "l": ["a", 1], "f": 1e400})";
  EXPECT_NE("", complaint(text, [](auto& o) { o.integer("s", 0, 9); }));
  EXPECT_NE("", complaint(text, [](auto& o) { o.number("s", 0, 9); }));
  EXPECT_NE("", complaint(text, [](auto& o) { o.number("f", 0, 9); }));
  EXPECT_NE("", complaint(text, [](auto& o) { o.boolean("n"); }));
  EXPECT_NE("", complaint(text, [](auto& o) { o.string("n"); }));
  EXPECT_NE("", complaint(text, [](auto& o) { o.strings("l"); }));
  EXPECT_NE("", complaint(text, [](auto& o) { o.strings("o"); }));
  EXPECT_NE("", complaint(text, [](auto& o) { o.integers("l"); }));
  EXPECT_NE("", complaint(text, [](auto& o) { o.object("n"); }));
}

TEST(JsonObject, AcceptsWholeFloatsAndTreatsNullAsAbsent) {
  const JsonObject o = JsonObject::parse(R"({"n": 2.0, "null": null, "ids": 7, "list": [1, 2]})", "c.json");
  EXPECT_EQ(o.integer("n", 0, 9), 2);
  EXPECT_EQ(o.integer("null", 0, 9, 5), 5);
  EXPECT_FALSE(o.has("null"));
  EXPECT_EQ(o.integers("ids"), (std::vector<int64_t>{7}));
  EXPECT_EQ(o.integers("list"), (std::vector<int64_t>{1, 2}));
}

TEST(JsonObject, RefusesWhatIsNotAnObject) {
  for (const char* text : {"", "[1]", "{", "{\"a\": 1,}", "\xff\xfe", "{} trailing"}) {
    EXPECT_NE("", complaint(text, [](auto&) {})) << text;
  }
}

TEST(JsonObject, RefusesDeepNesting) {
  EXPECT_NE("", complaint(std::string(100000, '['), [](auto&) {}));
}

using JsonFile = FolderTest;

TEST_F(JsonFile, SaysWhyAFileCannotBeRead) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may read everything";
  write("closed.json", "{}");
  std::filesystem::permissions(path("closed.json"), std::filesystem::perms::none);
  EXPECT_TRUE(mentions(message_of<ModelError>([&] { JsonObject::read_file(path("closed.json")); }),
                       {"closed.json: cannot read: Permission denied"}));
}

TEST_F(JsonFile, NamesAMissingAndATooLargeFile) {
  EXPECT_TRUE(mentions(message_of<ModelError>([&] { JsonObject::read_file(path("no.json")); }), {"no.json"}));
  write("big.json", std::string(100, ' '));
  EXPECT_TRUE(mentions(message_of<ModelError>([&] { JsonObject::read_file(path("big.json"), 99); }),
                       {"at most 99 bytes, got 100"}));
}

}  // namespace
}  // namespace zeta::nn
