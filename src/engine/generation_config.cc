#include "src/engine/generation_config.h"

#include <fmt/format.h>

#include <filesystem>

#include "src/nn/json_object.h"
#include "src/nn/model_error.h"

namespace zeta::engine {
namespace {

void read_eos(const nn::JsonObject& object, int64_t vocab_size, std::set<int32_t>& eos_ids) {
  for (int64_t id : object.integers("eos_token_id")) {
    if (id < 0 || id >= vocab_size) {
      object.fail("eos_token_id", fmt::format("expected ids from 0 to {}", vocab_size - 1));
    }
    eos_ids.insert(static_cast<int32_t>(id));
  }
}

SamplingParams read_defaults(const nn::JsonObject& object) {
  constexpr double kAny = 1e9;
  object.refuse_misspelt({"do_sample", "repetition_penalty", "temperature"});
  SamplingParams params;
  params.temperature = object.number("temperature", 0.0, kAny, params.temperature);
  if (!object.boolean("do_sample", true)) params.temperature = 0.0;
  params.top_k = object.integer("top_k", -1, int64_t{1} << 30, params.top_k);
  if (params.top_k == -1) params.top_k = 0;  // vLLM's folders say −1 for all
  params.top_p = object.number("top_p", 0.0, 1.0, params.top_p);
  params.min_p = object.number("min_p", 0.0, 1.0, params.min_p);
  params.repetition_penalty = object.number("repetition_penalty", 0.0, kAny, params.repetition_penalty);
  if (absl::Status status = validate(params); !status.ok()) {
    throw nn::ModelError(fmt::format("{}: {}", object.where(), std::string(status.message())));
  }
  return params;
}

}  // namespace

GenerationConfig read_generation_config(const std::string& folder, int64_t vocab_size) {
  GenerationConfig out;
  const std::string path = folder + "/generation_config.json";
  if (std::filesystem::exists(path)) {
    const nn::JsonObject generation = nn::JsonObject::read_file(path);
    read_eos(generation, vocab_size, out.eos_ids);
    out.defaults = read_defaults(generation);
  }
  if (out.eos_ids.empty()) {
    read_eos(nn::JsonObject::read_file(folder + "/config.json"), vocab_size, out.eos_ids);
  }
  return out;
}

}  // namespace zeta::engine
