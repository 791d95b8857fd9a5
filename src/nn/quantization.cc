#include "src/nn/quantization.h"

#include <algorithm>

namespace zeta::nn {
namespace {

constexpr int64_t kMaxGroup = 1 << 20;

bool any_matches(const std::vector<ModulePattern>& patterns, const std::string& module) {
  return std::any_of(patterns.begin(), patterns.end(), [&](const auto& p) { return p.matches(module); });
}

void require_absent(const JsonObject& object, std::string_view key) {
  if (object.has(key)) object.fail(key, "not supported");
}

// A key that is not known may change what the weights mean, or be one of ours misspelt.
void require_known(const JsonObject& object, std::initializer_list<std::string_view> known) {
  for (const auto& field : object.raw()) {
    const std::string_view key = field.key();
    if (std::find(known.begin(), known.end(), key) == known.end()) object.fail(key, "unknown key");
  }
}

}  // namespace

Quantization::Quantization(const JsonObject& config) {
  const auto quantization = config.object("quantization_config");
  if (!quantization) return;
  const std::string method = quantization->one_of("quant_method", {"bitnet", "compressed-tensors", "zeta"});
  if (method == "zeta") {
    read_zeta(*quantization);
  } else {
    method == "bitnet" ? read_bitnet(*quantization) : read_compressed_tensors(*quantization);
  }
}

void Quantization::read_bitnet(const JsonObject& quantization) {
  // The eps is for use_rms_norm, which is refused.
  require_known(quantization, {"quant_method", "linear_class", "quantization_mode", "modules_to_not_convert",
                               "use_rms_norm", "rms_norm_eps"});
  format_ = WeightFormat::kTernary;
  const std::string linear =
      quantization.one_of("linear_class", {"autobitlinear", "bitlinear"}, std::string("bitlinear"));
  ternary_scale_ = linear == "bitlinear" ? TernaryScale::kDivides : TernaryScale::kMultiplies;
  if (linear == "autobitlinear") {
    quantization.one_of("quantization_mode", {"offline"}, std::string("offline"));
  }
  if (quantization.boolean("use_rms_norm", false)) quantization.fail("use_rms_norm", "not supported");
  targets_ = {ModulePattern::compressed_tensors("Linear", quantization.where())};
  if (!quantization.has("modules_to_not_convert")) {
    excluded_ = {ModulePattern::compressed_tensors("lm_head", quantization.where())};
  }
  for (const std::string& text : quantization.strings("modules_to_not_convert")) {
    excluded_.push_back(ModulePattern::transformers(text, quantization.where()));
  }
}

// What no other library has a form for.
void Quantization::read_zeta(const JsonObject& quantization) {
  require_known(quantization, {"quant_method", "format", "modules_to_not_convert"});
  quantization.one_of("format", {"int2"});
  format_ = WeightFormat::kInt2;
  targets_ = {ModulePattern::compressed_tensors("Linear", quantization.where())};
  for (const std::string& text : quantization.strings("modules_to_not_convert")) {
    excluded_.push_back(ModulePattern::compressed_tensors(text, quantization.where()));
  }
}

void Quantization::read_compressed_tensors(const JsonObject& quantization) {
  // Those that are not read below say how the library came to the weights, or how it is to use them.
  require_known(quantization,
                {"quant_method", "format", "config_groups", "ignore", "kv_cache_scheme", "sparsity_config",
                 "transform_config", "moe_sparsity_config", "version", "quantization_status",
                 "global_compression_ratio", "run_compressed", "dequantize", "use_optimized_inference"});
  require_absent(quantization, "kv_cache_scheme");
  require_absent(quantization, "moe_sparsity_config");
  for (std::string_view key : {"sparsity_config", "transform_config"}) {
    const auto extra = quantization.object(key);
    if (extra && !extra->raw().empty() && extra->string("format", "") != "dense") {
      quantization.fail(key, "not supported");
    }
  }
  const JsonObject groups = quantization.required_object("config_groups");
  if (groups.raw().size() != 1) quantization.fail("config_groups", "expected exactly one group");
  const JsonObject group = groups.required_object(std::string_view(groups.raw().begin()->key()));
  require_known(group, {"targets", "weights", "format", "input_activations", "output_activations"});
  const JsonObject& with_format = group.has("format") ? group : quantization;
  const std::string format =
      with_format.one_of("format", {"pack-quantized", "int-quantized", "float-quantized"});
  require_absent(group, "output_activations");
  if (format == "pack-quantized") {
    read_4bit(group.required_object("weights"));
    const auto activations = group.object("input_activations");
    if (activations) read_8bit(*activations, "int", "token", /*dynamic=*/true);
    format_ = activations ? WeightFormat::kW4A8 : WeightFormat::kInt4;
  } else {
    format_ = format == "int-quantized" ? WeightFormat::kInt8 : WeightFormat::kFp8;
    const std::string_view type = format_ == WeightFormat::kInt8 ? "int" : "float";
    read_8bit(group.required_object("weights"), type, "channel", /*dynamic=*/false);
    read_8bit(group.required_object("input_activations"), type, "token", /*dynamic=*/true);
  }
  for (const std::string& text : group.strings("targets")) {
    targets_.push_back(ModulePattern::compressed_tensors(text, group.where()));
  }
  for (const std::string& text : quantization.strings("ignore")) {
    excluded_.push_back(ModulePattern::compressed_tensors(text, quantization.where()));
  }
}

void Quantization::read_8bit(const JsonObject& numbers, std::string_view type, std::string_view strategy,
                             bool dynamic) {
  require_known(numbers, {"num_bits", "type", "strategy", "symmetric", "dynamic", "actorder", "group_size",
                          "scale_dtype", "zp_dtype", "block_structure", "observer", "observer_kwargs"});
  if (numbers.integer("num_bits", 1, 64) != 8) numbers.fail("num_bits", "not supported; expected 8");
  numbers.one_of("type", {type}, std::string("int"));
  numbers.one_of("strategy", {strategy});
  require_absent(numbers, "actorder");
  require_absent(numbers, "block_structure");
  if (!numbers.boolean("symmetric", true)) numbers.fail("symmetric", "not supported; expected true");
  if (numbers.boolean("dynamic", false) != dynamic) {
    numbers.fail("dynamic", std::string("not supported; expected ") + (dynamic ? "true" : "false"));
  }
}

void Quantization::read_4bit(const JsonObject& weights) {
  // The second line does not matter here: types and shapes are taken from the tensors themselves, the rest
  // tells how the scales were found.
  require_known(weights, {"num_bits", "type", "strategy", "symmetric", "dynamic", "actorder", "group_size",
                          "scale_dtype", "zp_dtype", "block_structure", "observer", "observer_kwargs"});
  if (weights.integer("num_bits", 1, 64) != 4) weights.fail("num_bits", "not supported; expected 4");
  weights.one_of("type", {"int"}, std::string("int"));
  weights.one_of("strategy", {"group"});
  if (!weights.boolean("symmetric", true)) weights.fail("symmetric", "not supported; expected true");
  if (weights.boolean("dynamic", false)) weights.fail("dynamic", "not supported; expected false");
  if (weights.has("actorder")) weights.one_of("actorder", {"weight", "static"});
  group_size_ = weights.integer("group_size", 1, kMaxGroup);
}

WeightFormat Quantization::format_of(const std::string& module) const {
  const bool packed = any_matches(targets_, module) && !any_matches(excluded_, module);
  return packed ? format_ : WeightFormat::kDense;
}

}  // namespace zeta::nn
