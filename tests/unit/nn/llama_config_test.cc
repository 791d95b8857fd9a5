#include "src/nn/llama_config.h"

#include <boost/json.hpp>

#include "src/nn/model_error.h"
#include "tests/unit/nn/folder_fixture.h"

namespace zeta::nn {
namespace {

namespace json = boost::json;

json::object base() {
  return json::parse(R"({"architectures": ["LlamaForCausalLM"], "vocab_size": 64, "hidden_size": 32,
    "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "rope_theta": 5000.0, "use_cache": true})")
      .as_object();
}

LlamaConfig read(json::object object) {
  return read_llama_config(JsonObject("config.json", std::move(object)));
}

std::string complaint(const std::string& key, const json::value& value) {
  json::object object = base();
  object[key] = value;
  return message_of<ModelError>([&] { read(object); });
}

TEST(LlamaConfig, ReadsAndFillsIn) {
  const LlamaConfig config = read(base());
  EXPECT_EQ(config.head_dim, 8);
  EXPECT_EQ(config.num_kv_heads, 2);
  EXPECT_EQ(config.rotary.theta, 5000.0);
  EXPECT_FALSE(config.tie_word_embeddings);
  EXPECT_EQ(config.quantization.format_of("model.layers.0.mlp.up_proj"), WeightFormat::kDense);
}

TEST(LlamaConfig, NamesAMissingKey) {
  for (const char* key : {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
                          "num_attention_heads", "max_position_embeddings"}) {
    json::object object = base();
    object.erase(key);
    EXPECT_TRUE(mentions(message_of<ModelError>([&] { read(object); }), {"config.json", key, "missing"}));
  }
}

TEST(LlamaConfig, RefusesWhatItCannotHonour) {
  EXPECT_TRUE(mentions(complaint("architectures", {"MistralForCausalLM"}), {"MistralForCausalLM"}));
  EXPECT_TRUE(mentions(complaint("architectures", nullptr), {"architectures = null"}));
  EXPECT_TRUE(mentions(complaint("hidden_act", "gelu"), {"hidden_act"}));
  EXPECT_TRUE(mentions(complaint("sliding_window", 4096), {"sliding_window"}));
  EXPECT_TRUE(mentions(complaint("num_key_value_heads", 3), {"divisor of num_attention_heads = 4"}));
  EXPECT_TRUE(mentions(complaint("num_attention_heads", 10), {"hidden_size = 32"}));
  EXPECT_TRUE(mentions(complaint("head_dim", 7), {"head_dim = 7"}));
  EXPECT_TRUE(mentions(complaint("hidden_size", 0), {"hidden_size = 0"}));
  EXPECT_TRUE(mentions(complaint("vocab_size", 9e18), {"vocab_size"}));
  EXPECT_TRUE(mentions(complaint("torch_dtype", "float8_e4m3fn"), {"float8_e4m3fn"}));
}

TEST(LlamaConfig, RefusesAMisspeltKeyAndPassesOverForeignOnes) {
  EXPECT_TRUE(mentions(complaint("rope_thetta", 5.0), {"rope_thetta = 5", "did you mean rope_theta?"}));
  EXPECT_TRUE(mentions(complaint("num_key_value_head", 2), {"did you mean num_key_value_heads?"}));
  for (const char* key : {"_name_or_path", "use_cache", "pretraining_tp", "initializer_range", "pad_token_id",
                          "attention_dropout", "transformers_version", "dtype", "unsloth_version"}) {
    EXPECT_EQ(complaint(key, nullptr), "") << key;
  }
}

TEST(LlamaConfig, ReadsBothSpellingsOfRotaryParameters) {
  json::object old = base();
  old["rope_scaling"] = {{"type", "llama3"},
                         {"factor", 8.0},
                         {"low_freq_factor", 1.0},
                         {"high_freq_factor", 4.0},
                         {"original_max_position_embeddings", 64}};
  EXPECT_EQ(read(old).rotary.llama3->factor, 8.0);
  EXPECT_EQ(read(old).rotary.theta, 5000.0);

  json::object current = base();
  current.erase("rope_theta");
  current["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 777.0}};
  EXPECT_EQ(read(current).rotary.theta, 777.0);
  EXPECT_FALSE(read(current).rotary.llama3);
}

TEST(LlamaConfig, RefusesUnknownRotaryScaling) {
  EXPECT_TRUE(mentions(complaint("rope_scaling", {{"rope_type", "yarn"}, {"factor", 2.0}}),
                       {"rope_scaling", "yarn"}));
  EXPECT_TRUE(mentions(complaint("rope_parameters", {{"rope_type", "llama3"}, {"factor", 2.0}}),
                       {"low_freq_factor"}));
  EXPECT_TRUE(
      mentions(complaint("rope_parameters", {{"rope_type", "default"}, {"partial_rotary_factor", 0.5}}),
               {"partial_rotary_factor"}));
}

}  // namespace
}  // namespace zeta::nn
