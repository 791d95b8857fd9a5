#include "src/engine/generation_config.h"

#include <gtest/gtest.h>

#include "src/nn/model_error.h"
#include "tests/unit/nn/folder_fixture.h"

namespace zeta::engine {
namespace {

using nn::mentions;

class GenerationConfigTest : public nn::FolderTest {
 protected:
  GenerationConfig read(const std::string& generation, const std::string& config = "{}") {
    write("generation_config.json", generation);
    write("config.json", config);
    return read_generation_config(folder_, 100);
  }
  std::string complaint(const std::string& generation) {
    return nn::message_of<nn::ModelError>([&] { read(generation); });
  }
};

TEST_F(GenerationConfigTest, EndOfSequenceIsOneIdOrAList) {
  EXPECT_EQ(read(R"({"eos_token_id": 7})").eos_ids, (std::set<int32_t>{7}));
  EXPECT_EQ(read(R"({"eos_token_id": [7, 9]})").eos_ids, (std::set<int32_t>{7, 9}));
  EXPECT_EQ(read("{}", R"({"eos_token_id": 3})").eos_ids, (std::set<int32_t>{3}));
  EXPECT_TRUE(read("{}", R"({"eos_token_id": null})").eos_ids.empty());
}

TEST_F(GenerationConfigTest, WithoutTheFileConfigJsonSaysIt) {
  write("config.json", R"({"eos_token_id": 3})");
  EXPECT_EQ(read_generation_config(folder_, 100).eos_ids, (std::set<int32_t>{3}));
}

TEST_F(GenerationConfigTest, DefaultsForSampling) {
  const GenerationConfig config =
      read(R"({"temperature": 0.6, "top_k": 20, "top_p": 0.9, "do_sample": true})");
  EXPECT_EQ(config.defaults.temperature, 0.6);
  EXPECT_EQ(config.defaults.top_k, 20);
  EXPECT_EQ(config.defaults.top_p, 0.9);
  EXPECT_EQ(config.defaults.repetition_penalty, 1.0);
}

TEST_F(GenerationConfigTest, WithoutSamplingTheTemperatureIsZero) {
  EXPECT_EQ(read(R"({"do_sample": false, "temperature": 0.6})").defaults.temperature, 0.0);
  EXPECT_EQ(read(R"({"temperature": 0.6})").defaults.temperature, 0.6);
}

TEST_F(GenerationConfigTest, TopKOfMinusOneIsAll) {
  EXPECT_EQ(read(R"({"top_k": -1})").defaults.top_k, 0);
  EXPECT_TRUE(mentions(complaint(R"({"top_k": -2})"), {"top_k"}));
}

TEST_F(GenerationConfigTest, NamesWhatIsWrong) {
  EXPECT_TRUE(mentions(complaint(R"({"temprature": 0.5})"), {"did you mean temperature?"}));
  EXPECT_TRUE(
      mentions(complaint(R"({"eos_token_id": 100})"), {"generation_config.json", "eos_token_id = 100"}));
  EXPECT_TRUE(mentions(complaint(R"({"temperature": 1000})"), {"generation_config.json", "temperature"}));
  EXPECT_TRUE(mentions(complaint("["), {"generation_config.json", "JSON"}));
}

}  // namespace
}  // namespace zeta::engine
