#include "apps/zeta-server/openai/generation_metrics.h"

namespace zeta::server::openai {
namespace {

using Buckets = prometheus::Histogram::BucketBoundaries;

const Buckets kFirstToken{0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25,
                          0.5,   0.75,  1,    2.5,  5,    7.5,  10,   20,  40};
const Buckets kInterToken{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.4, 0.75, 1, 2.5};
const Buckets kRequest{0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 300, 600};

prometheus::Family<prometheus::Histogram>& histogram(prometheus::Registry& registry, const char* name,
                                                     const char* help) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(registry);
}

double seconds(ChoiceTimer::Clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

GenerationMetrics::GenerationMetrics()
    : registry_(std::make_shared<prometheus::Registry>()),
      first_token_(histogram(*registry_, "zeta_openai_time_to_first_token_seconds",
                             "From a request's arrival to its first token")),
      inter_token_(
          histogram(*registry_, "zeta_openai_inter_token_latency_seconds", "From one token to the next")),
      request_(histogram(*registry_, "zeta_openai_request_duration_seconds",
                         "From a request's arrival to its last token")) {}

GenerationMetrics::Model GenerationMetrics::model(const std::string& name) {
  const prometheus::Labels labels{{"model", name}};
  return {&first_token_.Add(labels, kFirstToken), &inter_token_.Add(labels, kInterToken),
          &request_.Add(labels, kRequest)};
}

void ChoiceTimer::observe(size_t tokens, Clock::time_point time) {
  if (tokens == 0) return;
  if (last_ == Clock::time_point()) {
    model_.time_to_first_token->Observe(seconds(time - start_));
  } else {
    model_.inter_token_latency->Observe(seconds(time - last_) / static_cast<double>(tokens));
  }
  last_ = time;
}

void ChoiceTimer::finish(Clock::time_point time) { model_.request_latency->Observe(seconds(time - start_)); }

}  // namespace zeta::server::openai
