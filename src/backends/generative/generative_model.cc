#include "src/backends/generative/generative_model.h"

#include <utility>

#include "src/backends/generative/request_reader.h"
#include "src/backends/generative/response_writer.h"

namespace zeta::generative {

GenerativeModel::GenerativeModel(serving::ModelMetadata metadata, ModelSizes sizes,
                                 std::unique_ptr<engine::Engine> engine)
    : metadata_(std::move(metadata)), sizes_(sizes), engine_(std::move(engine)) {}

void GenerativeModel::infer(std::shared_ptr<const serving::InferRequest> request,
                            std::shared_ptr<serving::ResponseSink> sink) {
  auto read = read_request(request, engine_->generation().defaults);
  if (!read.ok()) {
    serving::InferResponse response;
    response.status = read.status();
    sink->send(std::move(response));
    return;
  }
  ResponseFormat format{read->sampling.logprobs.has_value(), request->requested_outputs};
  engine_->submit(std::move(*read), [sink = std::move(sink), format = std::move(format),
                                     tokenizer = &engine_->tokenizer()](engine::Output output) {
    sink->send(write_response(std::move(output), format, *tokenizer));
  });
}

std::vector<serving::MetricSample> GenerativeModel::metrics() const {
  using Kind = serving::MetricSample::Kind;
  const engine::EngineStats& stats = engine_->stats();
  const auto count = [](int64_t value) { return static_cast<double>(value); };
  const auto seconds = [](int64_t microseconds) { return static_cast<double>(microseconds) * 1e-6; };
  return {
      {"zeta_num_requests_running", "Requests being generated", Kind::kGauge, count(stats.requests_running)},
      {"zeta_num_requests_waiting", "Requests waiting for their turn", Kind::kGauge,
       count(stats.requests_waiting)},
      {"zeta_request_success_total", "Requests answered to the end", Kind::kCounter,
       count(stats.requests_finished)},
      {"zeta_request_failure_total", "Requests refused, cancelled or failed", Kind::kCounter,
       count(stats.requests_failed)},
      {"zeta_kv_cache_usage_perc", "Reserved share of the key/value cache, 0 to 1", Kind::kGauge,
       count(stats.kv_reserved_tokens) / count(sizes_.kv_cache_tokens)},
      {"zeta_kv_cache_bytes", "Allocated bytes of the key/value cache", Kind::kGauge, count(stats.kv_bytes)},
      {"zeta_prompt_tokens_total", "Prompt tokens computed", Kind::kCounter, count(stats.prompt_tokens)},
      {"zeta_generation_tokens_total", "Tokens generated", Kind::kCounter, count(stats.generation_tokens)},
      {"zeta_time_to_first_token_seconds_sum", "From arrival to the first token, summed over requests",
       Kind::kCounter, seconds(stats.time_to_first_token_us)},
      {"zeta_time_to_first_token_seconds_count", "Requests that got a first token", Kind::kCounter,
       count(stats.first_tokens)},
      {"zeta_engine_step_seconds_sum", "Time in the model, summed over steps", Kind::kCounter,
       seconds(stats.step_time_us)},
      {"zeta_engine_step_seconds_count", "Steps of the model", Kind::kCounter, count(stats.steps)},
      {"zeta_engine_step_failures_total", "Steps of the model that failed", Kind::kCounter,
       count(stats.failed_steps)},
      {"zeta_resident_weight_bytes", "Bytes of weights in memory", Kind::kGauge,
       count(static_cast<int64_t>(sizes_.resident_weight_bytes))},
      {"zeta_packed_weight_bytes", "Bytes of weights on disk", Kind::kGauge,
       count(static_cast<int64_t>(sizes_.packed_weight_bytes))},
  };
}

}  // namespace zeta::generative
