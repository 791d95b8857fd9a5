// Loads Hugging Face folders of language models; the shared object's one symbol.
#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <exception>
#include <memory>
#include <utility>

#include "src/backends/generative/generative_model.h"
#include "src/backends/generative/load_options.h"
#include "src/engine/llama_runner.h"
#include "src/nn/llama.h"
#include "src/nn/model_error.h"

namespace zeta::generative {
namespace {

using serving::DataType;

serving::ModelMetadata describe(const serving::ModelSource& source) {
  return {.name = source.name,
          .version = source.version,
          .platform = "zeta_generative",
          .inputs = {{"text_input", DataType::kBytes, {1}, true},
                     {"messages", DataType::kBytes, {1}, true},
                     {"input_ids", DataType::kInt32, {-1}, true}},
          .outputs = {{"text_output", DataType::kBytes, {1}},
                      {"token_ids", DataType::kInt32, {-1}},
                      {"logprobs", DataType::kBytes, {1}}},
          .decoupled = true,
          .notice = {}};
}

absl::StatusOr<std::unique_ptr<serving::Model>> load_model(const serving::ModelSource& source) {
  const auto options = read_load_options(source.parameters);
  if (!options.ok()) return options.status();
  auto encoder = engine::PromptEncoder::load(source.folder);
  if (!encoder.ok()) return encoder.status();
  const auto weights = std::make_shared<const nn::LlamaModel>(source.folder);
  const int64_t max_positions = weights->config().max_position_embeddings;
  const int64_t max_model_len = choose_max_model_len(*options, max_positions, weights->kv_bytes_per_token());
  const engine::LlamaRunnerOptions runner_options{max_model_len, options->num_threads};
  auto runner = engine::make_llama_runner(weights, runner_options);
  const auto limits = engine_limits(*options, runner->max_model_len(), runner->kv_bytes_per_token());
  if (!limits.ok()) return limits.status();
  auto generation = engine::read_generation_config(source.folder, runner->vocab_size());
  auto engine = std::make_unique<engine::Engine>(std::move(runner), std::move(*encoder),
                                                 std::move(generation), *limits);
  const ModelSizes sizes{weights->resident_weight_bytes(), weights->packed_bytes_on_disk(),
                         limits->scheduler.kv_cache_tokens};
  serving::ModelMetadata metadata = describe(source);
  if (!options->max_model_len && max_model_len < max_positions) {
    metadata.notice = fmt::format(
        "max_model_len = {} instead of {}: what the default kv_cache_bytes hold; give either to have more",
        max_model_len, max_positions);
  }
  return std::make_unique<GenerativeModel>(std::move(metadata), sizes, std::move(engine));
}

class GenerativeBackend : public serving::Backend {
 public:
  absl::StatusOr<std::unique_ptr<serving::Model>> load(const serving::ModelSource& source) override try {
    return load_model(source);
  } catch (const nn::ModelError& error) {
    return absl::InvalidArgumentError(error.what());
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(fmt::format("{}: no memory for the model", source.folder));
  } catch (const c10::Error& error) {
    return absl::InternalError(fmt::format("{}: {}", source.folder, error.what_without_backtrace()));
  } catch (const std::exception& error) {
    return absl::InternalError(fmt::format("{}: {}", source.folder, error.what()));
  }
};

}  // namespace
}  // namespace zeta::generative

zeta::serving::Backend* zeta_backend() { return new zeta::generative::GenerativeBackend; }
