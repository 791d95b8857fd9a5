// The fields that chat and plain completions have in common.
#pragma once

#include "apps/zeta-server/openai/fields.h"
#include "apps/zeta-server/openai/generation_request.h"

namespace zeta::server::openai {

// Reads model, n, stream, stream_options, stop, seed and the sampling parameters: OpenAI's, and top_k, min_p,
// repetition_penalty and ignore_eos as in vLLM. What is absent is left to the model's own defaults. Throws
// ApiError.
void read_common_fields(Fields& fields, GenerationRequest& request);

}  // namespace zeta::server::openai
