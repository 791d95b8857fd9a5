// A LlamaModel behind the engine's interface.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "src/engine/model_runner.h"

namespace zeta::nn {
class LlamaModel;
}

namespace zeta::engine {

struct LlamaRunnerOptions {
  std::optional<int64_t> max_model_len;  // absent: the model's max_position_embeddings
  std::optional<int64_t> num_threads;    // of the linear algebra; absent: all cores
};

// Throws nn::ModelError when max_model_len exceeds what the model was built for.
std::unique_ptr<ModelRunner> make_llama_runner(std::shared_ptr<const nn::LlamaModel> model,
                                               const LlamaRunnerOptions& options);

}  // namespace zeta::engine
