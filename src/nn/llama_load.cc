// Building a LlamaModel from a folder.
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include "src/nn/llama.h"
#include "src/nn/model_error.h"
#include "src/ops/instruction_set.h"

namespace zeta::nn {
namespace {

constexpr const char* kEmbedding = "model.embed_tokens.weight";

// config.json's dtype, else the embedding's, as transformers chooses it.
at::ScalarType compute_dtype(const LlamaConfig& config, WeightStore& store) {
  if (config.dtype) {
    if (*config.dtype == "bfloat16") return at::kBFloat16;
    return *config.dtype == "float16" ? at::kHalf : at::kFloat;
  }
  const at::ScalarType stored = scalar_type_of(store.take(kEmbedding));
  if (!c10::isFloatingType(stored) || stored == at::kDouble) {
    throw ModelError(fmt::format("{}: tensor '{}': expected F32, BF16 or F16", store.folder(), kEmbedding));
  }
  return stored;
}

}  // namespace

LlamaModel::LlamaModel(const std::string& folder)
    : config_(read_llama_config(JsonObject::read_file(folder + "/config.json"))),
      rotary_(config_.rotary, config_.head_dim) {
  ops::check_instruction_set();
  const c10::InferenceMode guard;
  WeightStore store(folder);
  dtype_ = compute_dtype(config_, store);
  WeightLoader loader(store, dtype_);
  load(loader);
  std::vector<std::string_view> ignorable{".rotary_emb.inv_freq"};
  if (config_.tie_word_embeddings) ignorable.push_back("lm_head.weight");
  store.require_all_taken(ignorable);
  packed_bytes_on_disk_ = store.bytes();
  resident_weight_bytes_ = store.bytes() + loader.copied_bytes();
}

void LlamaModel::load(WeightLoader& loader) {
  embedding_ = loader.floating(kEmbedding, {config_.vocab_size, config_.hidden_size});
  for (int64_t i = 0; i < config_.num_layers; ++i) layers_.push_back(load_layer(loader, i));
  norm_ = RmsNorm(loader.floating("model.norm.weight", {config_.hidden_size}), config_.rms_norm_eps);
  const Linear::Shape shape{config_.hidden_size, config_.vocab_size, false};
  head_ = config_.tie_word_embeddings ? Linear(embedding_)
                                      : Linear(loader, "lm_head", shape, config_.quantization);
}

LlamaModel::Layer LlamaModel::load_layer(WeightLoader& loader, int64_t index) const {
  const std::string prefix = fmt::format("model.layers.{}.", index);
  const auto norm = [&](const char* name) {
    return RmsNorm(loader.floating(prefix + name + ".weight", {config_.hidden_size}), config_.rms_norm_eps);
  };
  const auto linear = [&](const char* name, int64_t in, int64_t out, bool bias) {
    return Linear(loader, prefix + name, {in, out, bias}, config_.quantization);
  };
  const int64_t hidden = config_.hidden_size, inner = config_.intermediate_size;
  const int64_t q_size = config_.num_heads * config_.head_dim,
                kv_size = config_.num_kv_heads * config_.head_dim;
  return {.input_norm = norm("input_layernorm"),
          .post_attention_norm = norm("post_attention_layernorm"),
          .q = linear("self_attn.q_proj", hidden, q_size, config_.attention_bias),
          .k = linear("self_attn.k_proj", hidden, kv_size, config_.attention_bias),
          .v = linear("self_attn.v_proj", hidden, kv_size, config_.attention_bias),
          .o = linear("self_attn.o_proj", q_size, hidden, config_.attention_bias),
          .gate = linear("mlp.gate_proj", hidden, inner, config_.mlp_bias),
          .up = linear("mlp.up_proj", hidden, inner, config_.mlp_bias),
          .down = linear("mlp.down_proj", inner, hidden, config_.mlp_bias)};
}

}  // namespace zeta::nn
