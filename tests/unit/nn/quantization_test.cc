#include "src/nn/quantization.h"

#include <boost/json.hpp>

#include "src/nn/model_error.h"
#include "tests/unit/nn/folder_fixture.h"

namespace zeta::nn {
namespace {

namespace json = boost::json;

constexpr const char* kUp = "model.layers.0.mlp.up_proj";
constexpr const char* kInt4 = R"({"quant_method": "compressed-tensors", "format": "pack-quantized",
  "ignore": ["lm_head"], "config_groups": {"group_0": {"targets": ["Linear"], "weights": {
  "num_bits": 4, "type": "int", "symmetric": true, "strategy": "group", "group_size": 128}}}})";

Quantization read(const json::value& quantization) {
  return Quantization(JsonObject("config.json", {{"quantization_config", quantization}}));
}

std::string complaint(const json::value& quantization) {
  return message_of<ModelError>([&] { read(quantization); });
}

// kInt4 with the value at a path of keys replaced.
json::value int4_with(const std::vector<std::string>& keys, const json::value& value) {
  json::value out = json::parse(kInt4);
  json::value* at = &out;
  for (const std::string& key : keys) at = &at->as_object()[key];
  *at = value;
  return out;
}

TEST(Quantization, BitnetScaleDependsOnTheLinearClass) {
  EXPECT_EQ(read({{"quant_method", "bitnet"}}).ternary_scale(), TernaryScale::kDivides);
  EXPECT_EQ(read({{"quant_method", "bitnet"}, {"linear_class", "bitlinear"}}).ternary_scale(),
            TernaryScale::kDivides);
  EXPECT_EQ(read({{"quant_method", "bitnet"}, {"linear_class", "autobitlinear"}}).ternary_scale(),
            TernaryScale::kMultiplies);
}

TEST(Quantization, BitnetListsWhatStaysDense) {
  const Quantization by_default = read({{"quant_method", "bitnet"}});
  EXPECT_EQ(by_default.format_of("lm_head"), WeightFormat::kDense);
  EXPECT_EQ(by_default.format_of(kUp), WeightFormat::kTernary);

  const Quantization listed =
      read({{"quant_method", "bitnet"}, {"modules_to_not_convert", {"model.layers.[12].mlp", "o_proj"}}});
  EXPECT_EQ(listed.format_of("model.layers.1.mlp.up_proj"), WeightFormat::kDense);
  EXPECT_EQ(listed.format_of("model.layers.3.mlp.up_proj"), WeightFormat::kTernary);
  EXPECT_EQ(listed.format_of("model.layers.3.self_attn.o_proj"), WeightFormat::kDense);
  EXPECT_EQ(listed.format_of("lm_head"), WeightFormat::kTernary);
}

TEST(Quantization, BitnetRefusesOtherForms) {
  EXPECT_TRUE(mentions(complaint({{"quant_method", "bitnet"}, {"linear_class", "other"}}), {"other"}));
  EXPECT_TRUE(mentions(
      complaint(
          {{"quant_method", "bitnet"}, {"linear_class", "autobitlinear"}, {"quantization_mode", "online"}}),
      {"quantization_mode = \"online\""}));
  EXPECT_TRUE(mentions(complaint({{"quant_method", "bitnet"}, {"use_rms_norm", true}}), {"use_rms_norm"}));
  EXPECT_TRUE(
      mentions(complaint({{"quant_method", "bitnet"}, {"modules_to_not_convert", {"(["}}}), {"'(['"}));
}

TEST(Quantization, CompressedTensorsTargetsAndIgnores) {
  const Quantization all = read(json::parse(kInt4));
  EXPECT_EQ(all.group_size(), 128);
  EXPECT_EQ(all.format_of(kUp), WeightFormat::kInt4);
  EXPECT_EQ(all.format_of("lm_head"), WeightFormat::kDense);

  const Quantization regex = read(int4_with({"ignore"}, {"re:.*up_proj$"}));
  EXPECT_EQ(regex.format_of(kUp), WeightFormat::kDense);
  EXPECT_EQ(regex.format_of("model.layers.0.mlp.down_proj"), WeightFormat::kInt4);

  const Quantization one = read(int4_with({"config_groups", "group_0", "targets"}, {kUp}));
  EXPECT_EQ(one.format_of(kUp), WeightFormat::kInt4);
  EXPECT_EQ(one.format_of("model.layers.1.mlp.up_proj"), WeightFormat::kDense);
}

TEST(Quantization, CompressedTensorsRefusesOtherSchemesByName) {
  EXPECT_TRUE(mentions(complaint(int4_with({"format"}, "naive-quantized")), {"naive-quantized"}));
  const std::vector<std::pair<std::string, json::value>> bad{
      {"num_bits", 8},   {"type", "float"}, {"symmetric", false},  {"strategy", "channel"},
      {"dynamic", true}, {"group_size", 0}, {"actorder", "group"}, {"group_size", nullptr}};
  for (const auto& [key, value] : bad) {
    EXPECT_TRUE(mentions(complaint(int4_with({"config_groups", "group_0", "weights", key}, value)), {key}))
        << key;
  }
  EXPECT_TRUE(
      mentions(complaint(int4_with({"config_groups", "group_0", "output_activations"}, {{"num_bits", 8}})),
               {"output_activations"}));
  EXPECT_TRUE(
      mentions(complaint(int4_with({"config_groups", "group_1"}, json::object{})), {"exactly one group"}));
  EXPECT_TRUE(mentions(complaint(int4_with({"kv_cache_scheme"}, {{"num_bits", 8}})), {"kv_cache_scheme"}));
}

TEST(Quantization, CompressedTensorsWithInt8Activations) {
  const json::object token{
      {"num_bits", 8}, {"type", "int"}, {"symmetric", true}, {"strategy", "token"}, {"dynamic", true}};
  const auto with = [](const json::object& activations) {
    return int4_with({"config_groups", "group_0", "input_activations"}, activations);
  };
  EXPECT_EQ(read(with(token)).format_of(kUp), WeightFormat::kW4A8);
  EXPECT_EQ(read(with(token)).group_size(), 128);
  const std::vector<std::pair<std::string, json::value>> bad{{"num_bits", 4},      {"type", "float"},
                                                             {"symmetric", false}, {"strategy", "tensor"},
                                                             {"dynamic", false},   {"dynamik", true}};
  for (const auto& [key, value] : bad) {
    json::object other = token;
    other[key] = value;
    EXPECT_TRUE(mentions(complaint(with(other)), {key})) << key;
  }
}

// The form that compressed-tensors calls `int-quantized` or `float-quantized`, with a value replaced.
json::value eight_bits_with(const char* format, const char* type, const std::string& part = "weights",
                            const std::string& key = "num_bits", const json::value& value = 8) {
  const json::object numbers{{"num_bits", 8}, {"type", type}, {"symmetric", true}};
  json::object group{{"targets", {"Linear"}}, {"weights", numbers}, {"input_activations", numbers}};
  group["weights"].as_object()["strategy"] = "channel";
  group["input_activations"].as_object()["strategy"] = "token";
  group["input_activations"].as_object()["dynamic"] = true;
  group[part].as_object()[key] = value;
  return {{"quant_method", "compressed-tensors"},
          {"format", format},
          {"ignore", {"lm_head"}},
          {"config_groups", {{"group_0", group}}}};
}

TEST(Quantization, EightBitsWithActivationsByTheToken) {
  EXPECT_EQ(read(eight_bits_with("int-quantized", "int")).format_of(kUp), WeightFormat::kInt8);
  const Quantization fp8 = read(eight_bits_with("float-quantized", "float"));
  EXPECT_EQ(fp8.format_of(kUp), WeightFormat::kFp8);
  EXPECT_EQ(fp8.format_of("lm_head"), WeightFormat::kDense);
  EXPECT_TRUE(mentions(complaint(eight_bits_with("float-quantized", "int")), {"type"}));
  const std::vector<std::tuple<std::string, std::string, json::value>> bad{
      {"weights", "num_bits", 4},
      {"weights", "strategy", "tensor"},
      {"weights", "dynamic", true},
      {"weights", "symmetric", false},
      {"input_activations", "num_bits", 4},
      {"input_activations", "strategy", "tensor"},
      {"input_activations", "dynamic", false}};
  for (const auto& [part, key, value] : bad) {
    EXPECT_TRUE(mentions(complaint(eight_bits_with("int-quantized", "int", part, key, value)), {key})) << key;
  }
  json::value weights_only = eight_bits_with("int-quantized", "int");
  weights_only.at("config_groups").at("group_0").as_object().erase("input_activations");
  EXPECT_TRUE(mentions(complaint(weights_only), {"input_activations"}));
}

TEST(Quantization, OurOwnTwoBits) {
  const Quantization ours =
      read({{"quant_method", "zeta"}, {"format", "int2"}, {"modules_to_not_convert", {"lm_head"}}});
  EXPECT_EQ(ours.format_of(kUp), WeightFormat::kInt2);
  EXPECT_EQ(ours.format_of("lm_head"), WeightFormat::kDense);
  EXPECT_TRUE(mentions(complaint({{"quant_method", "zeta"}, {"format", "int3"}}), {"int3"}));
  EXPECT_TRUE(mentions(complaint({{"quant_method", "zeta"}, {"format", "int2"}, {"group", 4}}), {"group"}));
}

TEST(Quantization, BitnetRefusesUnknownKeys) {
  EXPECT_TRUE(mentions(complaint({{"quant_method", "bitnet"}, {"linear_clas", "autobitlinear"}}),
                       {"linear_clas", "unknown key"}));
}

TEST(Quantization, CompressedTensorsRefusesUnknownKeys) {
  EXPECT_TRUE(mentions(complaint(int4_with({"ignored"}, {"lm_head"})), {"ignored", "unknown key"}));
  EXPECT_TRUE(mentions(complaint(int4_with({"config_groups", "group_0", "weights", "num_bitz"}, 8)),
                       {"num_bitz", "unknown key"}));
  EXPECT_TRUE(mentions(complaint(int4_with({"config_groups", "group_0", "ignored"}, json::array{})),
                       {"ignored", "unknown key"}));
}

TEST(Quantization, CompressedTensorsTakesWhatItsLibraryWrites) {
  json::value whole = json::parse(kInt4);
  json::object& group = whole.at("config_groups").at("group_0").as_object();
  for (const char* key : {"kv_cache_scheme", "moe_sparsity_config", "global_compression_ratio"}) {
    whole.as_object()[key] = nullptr;
  }
  for (const char* key : {"sparsity_config", "transform_config"}) whole.as_object()[key] = json::object{};
  whole.as_object()["quantization_status"] = "compressed";
  whole.as_object()["version"] = "0.14.0";
  for (const char* key : {"input_activations", "output_activations"}) group[key] = nullptr;
  group["format"] = "pack-quantized";
  json::object& weights = group["weights"].as_object();
  for (const char* key : {"block_structure", "actorder", "scale_dtype", "zp_dtype"}) weights[key] = nullptr;
  weights["dynamic"] = false;
  weights["observer"] = "minmax";
  weights["observer_kwargs"] = json::object{};
  EXPECT_EQ(complaint(whole), "");
}

TEST(Quantization, RefusesOtherMethodsByName) {
  EXPECT_TRUE(mentions(complaint({{"quant_method", "gptq"}}), {"gptq"}));
  EXPECT_TRUE(mentions(complaint(json::object{}), {"quant_method"}));
}

}  // namespace
}  // namespace zeta::nn
