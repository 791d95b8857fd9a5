// What a model folder says about generating: its end-of-sequence tokens and default sampling parameters.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "src/engine/sampling_params.h"

namespace zeta::engine {

struct GenerationConfig {
  std::set<int32_t> eos_ids;
  SamplingParams defaults;  // for requests that do not say otherwise
};

// generation_config.json where there is one, else config.json's eos_token_id. Throws nn::ModelError.
GenerationConfig read_generation_config(const std::string& folder, int64_t vocab_size);

}  // namespace zeta::engine
