// Settings of a generative model, from ModelSource::parameters. Each may be an integer or its decimal text.
//
//   max_num_seqs            sequences that run at once                                     32
//   max_num_batched_tokens  tokens of one step; bounds how long a prompt stalls others     128
//   max_queue_size          requests that wait beside those that run                       256
//   max_model_len           tokens of prompt and completion together       max_position_embeddings, or
//                           what 4 GiB of cache hold if that is less and kv_cache_bytes is not given
//   kv_cache_bytes          memory of all caches; allocated as they fill, never exceeded but for one layer's
//                           copy while a cache grows      what max_num_seqs can use, at most 4 GiB (more only
//                           for one sequence of a max_model_len that is given)
//   num_threads             of the linear algebra                                          all cores
#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "src/engine/engine.h"
#include "src/serving/backend.h"

namespace zeta::generative {

struct LoadOptions {
  int64_t max_num_seqs = 32;
  int64_t max_num_batched_tokens = 128;
  int64_t max_queue_size = 256;
  std::optional<int64_t> max_model_len;
  std::optional<int64_t> kv_cache_bytes;
  std::optional<int64_t> num_threads;
};

// InvalidArgument for an unknown name or a value out of range.
absl::StatusOr<LoadOptions> read_load_options(const serving::Parameters& parameters);

// The setting, else its default for a model of `max_positions` tokens.
int64_t choose_max_model_len(const LoadOptions& options, int64_t max_positions, int64_t kv_bytes_per_token);

// InvalidArgument when kv_cache_bytes, or the address space, cannot hold one sequence of `max_model_len`.
absl::StatusOr<engine::EngineLimits> engine_limits(const LoadOptions& options, int64_t max_model_len,
                                                   int64_t kv_bytes_per_token);

}  // namespace zeta::generative
