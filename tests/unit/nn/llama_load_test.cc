// Folders with one thing wrong: each is refused by a line that names it.
#include <gtest/gtest.h>

#include "src/nn/llama.h"
#include "src/nn/model_error.h"
#include "tests/unit/nn/folder_fixture.h"
#include "tests/unit/nn/folder_writer.h"
#include "tests/unit/nn/golden_llama.h"

namespace zeta::nn {
namespace {

constexpr const char* kUp = "model.layers.1.mlp.up_proj";

class LlamaLoad : public FolderTest {
 protected:
  std::string complaint() const {
    return message_of<ModelError>([&] { LlamaModel model(folder_); });
  }
  // What loading says of `golden` with its tensors changed.
  std::string with_tensors(const std::string& golden,
                           const std::function<void(WritableTensors&)>& change) const {
    copy_folder(GoldenLlama(golden).folder);
    WritableTensors tensors = read_tensors(path("model.safetensors"));
    change(tensors);
    write_tensors(path("model.safetensors"), tensors);
    return complaint();
  }
  std::string with_config(const std::string& golden,
                          const std::function<void(boost::json::object&)>& change) const {
    copy_folder(GoldenLlama(golden).folder);
    boost::json::object config = read_json(path("config.json"));
    change(config);
    write_json(path("config.json"), config);
    return complaint();
  }
};

TEST_F(LlamaLoad, TheUnchangedFolderLoads) {
  EXPECT_EQ("", with_tensors("ternary", [](auto&) {}));
  for (const char* golden : {"int4", "int2", "int8", "fp8"})
    EXPECT_EQ("", with_tensors(golden, [](auto&) {}));
}

TEST_F(LlamaLoad, APackedWeightWithoutItsScale) {
  const std::string scale = std::string(kUp) + ".weight_scale";
  EXPECT_TRUE(mentions(with_tensors("ternary", [&](auto& t) { t.erase(scale); }), {scale, "missing"}));
  EXPECT_TRUE(mentions(with_tensors("int4", [&](auto& t) { t.erase(scale); }), {scale, "missing"}));
}

TEST_F(LlamaLoad, AScaleThatIsNoScale) {
  const std::string scale = std::string(kUp) + ".weight_scale";
  for (const std::string& bytes : {std::string("\0\0\0\0", 4), std::string("\0\0\xc0\x7f", 4)}) {
    EXPECT_TRUE(
        mentions(with_tensors("ternary", [&](auto& t) { t[scale].bytes = bytes; }), {scale, "positive"}));
    for (const char* golden : {"int4", "int2", "int8", "fp8"}) {  // the third scale
      const auto change = [&](auto& t) { t[scale].bytes.replace(8, 4, bytes); };
      EXPECT_TRUE(mentions(with_tensors(golden, change), {scale, "other than 0", "at element 2"})) << golden;
    }
  }
}

TEST_F(LlamaLoad, AWeightThatIsNotFinite) {
  const std::string weight = std::string(kUp) + ".weight";
  EXPECT_TRUE(
      mentions(with_tensors("fp8", [&](auto& t) { t[weight].bytes[5] = '\xff'; }), {weight, "got NaN"}));
}

TEST_F(LlamaLoad, PackedAgainstDense) {
  EXPECT_TRUE(mentions(with_config("ternary", [](auto& c) { c.erase("quantization_config"); }),
                       {"model.layers.0.self_attn.q_proj.weight", "U8", "quantization_config"}));
  copy_folder(GoldenLlama("dense").folder);
  boost::json::object config = read_json(path("config.json"));
  config["quantization_config"] = {{"quant_method", "bitnet"}};
  write_json(path("config.json"), config);
  EXPECT_TRUE(mentions(complaint(), {"q_proj.weight", "F32", "expected U8"}));
}

TEST_F(LlamaLoad, AShapeThatDoesNotAgree) {
  EXPECT_TRUE(mentions(with_config("dense", [](auto& c) { c["intermediate_size"] = 100; }),
                       {"mlp.", "expected shape", "100"}));
  EXPECT_TRUE(mentions(with_config("dense", [](auto& c) { c["vocab_size"] = 1000; }),
                       {"embed_tokens", "[1000, 64]"}));
  const std::string shape = std::string(kUp) + ".weight_shape";
  EXPECT_TRUE(mentions(with_tensors("int4", [&](auto& t) { t[shape].bytes[0] = 3; }),
                       {shape, "expected [96, 64], got [3, 64]"}));
}

TEST_F(LlamaLoad, ASizeThatDoesNotDivide) {
  EXPECT_TRUE(mentions(with_config("ternary", [](auto& c) { c["intermediate_size"] = 98; }),
                       {"divisible by 4", "98"}));
  EXPECT_TRUE(mentions(with_config("int2", [](auto& c) { c["intermediate_size"] = 98; }),
                       {"mlp.gate_proj.weight", "divisible by 4", "98"}));
  EXPECT_TRUE(mentions(with_config("int4",
                                   [](auto& c) {
                                     c.at("quantization_config")
                                         .at("config_groups")
                                         .at("group_0")
                                         .at("weights")
                                         .as_object()["group_size"] = 48;
                                   }),
                       {"group_size = 48", "64"}));
}

TEST_F(LlamaLoad, ATensorTooFewOrTooMany) {
  EXPECT_TRUE(mentions(with_tensors("dense", [](auto& t) { t.erase("model.norm.weight"); }),
                       {"model.norm.weight", "missing"}));
  EXPECT_TRUE(mentions(with_tensors("dense", [](auto& t) { t["model.extra"] = t["model.norm.weight"]; }),
                       {"model.extra", "no place"}));
  EXPECT_TRUE(mentions(with_config("dense", [](auto& c) { c["num_hidden_layers"] = 1; }),
                       {"model.layers.1.", "no place"}));
  EXPECT_TRUE(
      mentions(with_config("dense", [](auto& c) { c["attention_bias"] = false; }), {"bias", "no place"}));
}

TEST_F(LlamaLoad, ATruncatedFile) {
  copy_folder(GoldenLlama("int4").folder);
  std::filesystem::resize_file(path("model.safetensors"),
                               std::filesystem::file_size(path("model.safetensors")) - 1);
  EXPECT_TRUE(mentions(complaint(), {"model.safetensors", "truncated"}));
}

TEST_F(LlamaLoad, NoFolder) { EXPECT_TRUE(mentions(complaint(), {"config.json", "No such file"})); }

// A dtype other than the activations' is converted and counted.
TEST_F(LlamaLoad, WhatIsCopiedIsCounted) {
  copy_folder(GoldenLlama("dense").folder);
  WritableTensors tensors = read_tensors(path("model.safetensors"));
  const LlamaModel plain(folder_);
  EXPECT_EQ(plain.resident_weight_bytes(), plain.packed_bytes_on_disk());
  boost::json::object config = read_json(path("config.json"));
  config["dtype"] = "bfloat16";
  write_json(path("config.json"), config);
  const LlamaModel converted(folder_);
  EXPECT_EQ(converted.resident_weight_bytes(), plain.packed_bytes_on_disk() * 3 / 2);
}

}  // namespace
}  // namespace zeta::nn
