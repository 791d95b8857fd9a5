#include <ctime>

#include "golden.h"
#include "temporary_folder.h"

namespace zeta::text {
namespace {

constexpr std::string_view kHello = R"([{"role": "user", "content": "hello"}])";

absl::StatusOr<std::unique_ptr<ChatTemplate>> load(std::string_view jinja, std::string_view config = "{}") {
  TemporaryFolder folder;
  folder.write("chat_template.jinja", jinja);
  folder.write("tokenizer_config.json", config);
  return ChatTemplate::load(folder.path());
}

absl::Status load_config_status(std::string_view config) {
  TemporaryFolder folder;
  folder.write("tokenizer_config.json", config);
  return ChatTemplate::load(folder.path()).status();
}

absl::StatusOr<std::string> render(std::string_view jinja, std::string_view messages = kHello) {
  auto chat_template = load(jinja);
  if (!chat_template.ok()) return chat_template.status();
  return (*chat_template)->render(messages, false);
}

TEST(ChatTemplate, IsNotFoundWithoutATemplate) {
  EXPECT_TRUE(absl::IsNotFound(ChatTemplate::load("/nonexistent").status()));
  EXPECT_TRUE(absl::IsNotFound(load_config_status("{}")));
  EXPECT_TRUE(absl::IsNotFound(load_config_status(R"({"chat_template": null})")));
  const absl::Status status = load_config_status(R"({"chat_template": [{"name": "rag", "template": ""}]})");
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_NE(status.message().find("only: rag"), std::string::npos) << status;
}

TEST(ChatTemplate, RefusesABrokenConfig) {
  for (const char* config : {"{", "[]", "\xff", R"({"chat_template": 3})", R"({"chat_template": [3]})",
                             R"({"chat_template": [{"name": "default"}]})"}) {
    const absl::Status status = load_config_status(config);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << config << ": " << status;
    EXPECT_NE(status.message().find("tokenizer_config.json"), std::string::npos) << status;
  }
}

TEST(ChatTemplate, NamesTheLineOfASyntaxError) {
  const absl::Status status = load("fine\n{% if %}").status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_NE(status.message().find("chat_template.jinja: "), std::string::npos) << status;
  EXPECT_NE(status.message().find("chat_template:2"), std::string::npos) << status;
  EXPECT_TRUE(absl::IsInvalidArgument(load("\xc3").status()));
}

TEST(ChatTemplate, TakesTheFileBeforeTheConfig) {
  const auto chat_template =
      load("{{ bos_token }}file", R"({"chat_template": "config", "bos_token": {"content": "<s>"}})");
  EXPECT_EQ((*chat_template)->render(kHello, false).value(), "<s>file");
}

TEST(ChatTemplate, NeedsNoConfigBesideTheFile) {
  TemporaryFolder folder;
  folder.write("chat_template.jinja", "{{ messages[0].content }}{{ eos_token }}");
  EXPECT_EQ(ChatTemplate::load(folder.path()).value()->render(kHello, false).value(), "hello");
}

TEST(ChatTemplate, RefusesMessagesThatAreNone) {
  for (const char* messages : {"", "{", "{}", "3", "[]", "[1]", "[[]]", "null", R"("text")", "[{}] trailing",
                               "\xff", R"([{"content": "\ud800"}])"}) {
    const absl::Status status = render("{{ messages[0].role }}", messages).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << messages << ": " << status;
  }
  EXPECT_TRUE(absl::IsInvalidArgument(render("", std::string(100000, '[')).status()));
}

TEST(ChatTemplate, SaysWhatTheTemplateRaised) {
  const absl::Status status = render("{{ raise_exception('roles must alternate') }}").status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_NE(status.message().find("roles must alternate"), std::string::npos) << status;
}

TEST(ChatTemplate, BoundsTimeAndMemory) {
  EXPECT_TRUE(absl::IsResourceExhausted(
      render("{% for i in range(99999) %}{% for j in range(99999) %}{{ j }}{% endfor %}{% endfor %}")
          .status()));
  EXPECT_TRUE(absl::IsResourceExhausted(render("{{ 'x' * 10 ** 12 }}").status()));
  EXPECT_TRUE(absl::IsResourceExhausted(
      render(
          "{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}")
          .status()));
  EXPECT_FALSE(render("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}").ok());
}

TEST(ChatTemplate, RendersALongConversation) {
  const std::string content = R"("content": ")" + std::string(1000, 'x') + R"("})";
  std::string messages = R"([{"role": "user", )" + content;
  for (int i = 0; i < 2000; ++i) {
    messages += R"(,{"role": "assistant", )" + content + R"(,{"role": "user", )" + content;
  }
  const auto chat_template = ChatTemplate::load(golden_path("chat/chatml"));
  ASSERT_TRUE(chat_template.ok()) << chat_template.status();
  const auto rendered = (*chat_template)->render(messages + "]", true);
  ASSERT_TRUE(rendered.ok()) << rendered.status();
  EXPECT_GT(rendered->size(), 4'000'000u);
}

TEST(ChatTemplate, TellsTheLocalDate) {
  const auto today = [] {
    const std::time_t now = std::time(nullptr);
    char text[64];
    return std::string(text, std::strftime(text, sizeof text, "%d %b %Y", std::localtime(&now)));
  };
  const std::string before = today();
  const std::string rendered = render("{{ strftime_now('%d %b %Y') }}").value();
  EXPECT_TRUE(rendered == before || rendered == today()) << rendered;
}

}  // namespace
}  // namespace zeta::text
