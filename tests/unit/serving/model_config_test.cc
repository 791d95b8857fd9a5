#include "src/serving/model_config.h"

#include <gtest/gtest.h>

#include <string>

namespace zeta::serving {
namespace {

std::string refusal(std::string_view text) {
  return std::string(parse_model_config(text).status().message());
}

TEST(ModelConfig, ReadsNameAndBackend) {
  const auto config =
      parse_model_config("# ours\nname: \"m\"\r\n  backend:'echo' # c\n\nmax_batch_size: 0\n");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->name, "m");
  EXPECT_EQ(config->backend, "echo");
}

TEST(ModelConfig, RefusesOtherFieldsByNameAndLine) {
  EXPECT_EQ(refusal("backend: \"echo\"\ninput [ { name: \"x\" } ]"),
            "config.pbtxt line 2: field 'input' is not supported; supported are name, backend and "
            "max_batch_size");
  EXPECT_NE(refusal("dynamic_batching { }").find("'dynamic_batching'"), std::string::npos);
  EXPECT_NE(refusal("backend: \"echo\"\nmax_batch_size: 8").find("max_batch_size: 0"), std::string::npos);
}

TEST(ModelConfig, RefusesWhatItCannotRead) {
  EXPECT_NE(refusal("backend: echo").find("line 1"), std::string::npos);
  EXPECT_NE(refusal("backend: \"a\" name: \"b\"").find("line 1"), std::string::npos);
  EXPECT_NE(refusal("backend").find("line 1"), std::string::npos);
  EXPECT_NE(refusal("}").find("line 1"), std::string::npos);
  EXPECT_EQ(refusal(""), "config.pbtxt: expected a field backend: \"…\"");
}

}  // namespace
}  // namespace zeta::serving
