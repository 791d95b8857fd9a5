#include "src/serving/model_config/parse.h"

#include <gtest/gtest.h>

#include <string>

#include "src/serving/model_config/json.h"

namespace zeta::serving {
namespace {

std::string refusal(std::string_view text) {
  return std::string(parse_model_config(text, "m/config.pbtxt").status().message());
}

TEST(ModelConfigParse, ReadsProtobufText) {
  const auto config = parse_model_config(
      "# ours\nname: \"m\"\r\nplatform: 'pytorch_libtorch' max_batch_size: 128\n"
      "input [ { name: 'x' data_type: TYPE_FP32 dims: [ -1, 3 ] } ]\n"
      "optimization { cuda { graphs: true } } parameters { key: 'k' value { string_value: 'v' } }\n",
      "config.pbtxt");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->name(), "m");
  EXPECT_EQ(config->max_batch_size(), 128);
  EXPECT_EQ(config->input(0).dims(1), 3);
  EXPECT_TRUE(config->optimization().cuda().graphs());
  EXPECT_EQ(config->parameters().at("k").string_value(), "v");
}

TEST(ModelConfigParse, NamesFileLineAndColumnOfTheFirstMistake) {
  EXPECT_EQ(refusal("backend: 'echo'\nmax_batch_size: x\n"),
            "failed to read text proto from m/config.pbtxt: line 2, column 17: Expected integer, got: x");
  const std::string unknown = refusal("backend: 'echo'\n  colour: 1\ncolour: 2");
  EXPECT_TRUE(unknown.starts_with("failed to read text proto from m/config.pbtxt: line 2, column "))
      << unknown;
  EXPECT_NE(unknown.find("no field named \"colour\""), std::string::npos) << unknown;
  EXPECT_NE(refusal("}").find("line 1"), std::string::npos);
}

TEST(ModelConfigParse, ReadsTheJsonThatItWrites) {
  const auto config = parse_model_config(
      "max_batch_size: 4 input { name: 'x' data_type: TYPE_INT64 dims: [ 9007199254740993 ] reshape { } }\n"
      "dynamic_batching { max_queue_delay_microseconds: 5 priority_queue_policy { key: 2 value { } } }\n"
      "sequence_batching { direct { minimum_slot_utilization: 0.5 } }",
      "");
  EXPECT_FALSE(config.ok()) << "dynamic_batching and sequence_batching exclude each other";
  const auto one = parse_model_config(
      "max_batch_size: 4 input { name: '\"x\"' data_type: TYPE_INT64 dims: [ 9007199254740993 ] reshape { } "
      "}\n"
      "sequence_batching { direct { minimum_slot_utilization: 0.5 } } metric_tags { key: 'a' value: 'b' }",
      "");
  ASSERT_TRUE(one.ok()) << one.status();
  const std::string json = model_config_json(*one);
  EXPECT_NE(
      json.find(R"("name":"\"x\"","data_type":"TYPE_INT64","format":"FORMAT_NONE","dims":[9007199254740993],)"
                R"("reshape":{"shape":[]},"is_shape_tensor":false)"),
      std::string::npos)
      << json;
  EXPECT_NE(json.find(R"("metric_tags":{"a":"b"})"), std::string::npos);
  EXPECT_EQ(json.find("dynamic_batching"), std::string::npos) << "of a oneof only what is set";
  const auto again = parse_model_config_json(json);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(model_config_json(*again), json);
  EXPECT_EQ(again->SerializeAsString(), one->SerializeAsString());
}

TEST(ModelConfigParse, RefusesNumbersThatAnEnumerationDoesNotHave) {
  EXPECT_EQ(refusal("input { name: 'x' data_type: 99 }"),
            "failed to read text proto from m/config.pbtxt: field 'data_type' has no value 99");
  EXPECT_FALSE(parse_model_config_json(R"({"instance_group": [{"kind": 7}]})").ok());
}

TEST(ModelConfigParse, SaysWhatIsWrongWithJson) {
  EXPECT_NE(std::string(parse_model_config_json("{").status().message()).find("given as JSON"),
            std::string::npos);
  const auto unknown = parse_model_config_json(R"({"backend": "echo", "colour": 1})");
  EXPECT_NE(std::string(unknown.status().message()).find("colour"), std::string::npos) << unknown.status();
}

TEST(ModelConfigParse, RefusesEndlessNesting) {
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += "optimization {";
  EXPECT_TRUE(absl::IsInvalidArgument(parse_model_config(text, "").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(parse_model_config_json(std::string(100'000, '[')).status()));
}

}  // namespace
}  // namespace zeta::serving
