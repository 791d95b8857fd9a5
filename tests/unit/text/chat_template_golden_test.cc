// Prompts are those of transformers' apply_chat_template, and what it refuses is refused.
#include <boost/json/serialize.hpp>

#include "golden.h"

namespace zeta::text {
namespace {

TEST(ChatTemplateGolden, RendersAsTransformers) {
  const boost::json::value conversations = golden_json("conversations.json");
  const boost::json::value cases = golden_json("rendered.json");
  ASSERT_GT(cases.as_array().size(), 70u);
  for (const boost::json::value& item : cases.as_array()) {
    const auto folder = boost::json::value_to<std::string>(item.at("folder"));
    const auto conversation = boost::json::value_to<std::string>(item.at("conversation"));
    const bool add_generation_prompt = item.at("add_generation_prompt").as_bool();
    SCOPED_TRACE(folder + ", " + conversation + (add_generation_prompt ? ", with a generation prompt" : ""));

    auto chat_template = ChatTemplate::load(golden_path("chat/" + folder));
    ASSERT_TRUE(chat_template.ok()) << chat_template.status();
    const std::string messages = boost::json::serialize(conversations.at(conversation));
    const auto rendered = (*chat_template)->render(messages, add_generation_prompt);
    if (item.as_object().contains("refused")) {
      EXPECT_TRUE(absl::IsInvalidArgument(rendered.status())) << *rendered;
    } else {
      ASSERT_TRUE(rendered.ok()) << rendered.status();
      EXPECT_EQ(*rendered, boost::json::value_to<std::string>(item.at("rendered")));
    }
  }
}

}  // namespace
}  // namespace zeta::text
