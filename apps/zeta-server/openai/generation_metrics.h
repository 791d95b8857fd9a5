// How fast text comes out of the OpenAI API, for Prometheus. Tokens are the backends' to count.
#pragma once

#include <prometheus/family.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace zeta::server::openai {

// Thread-safe.
class GenerationMetrics {
 public:
  GenerationMetrics();

  // The figures of one model; they live as long as this object.
  struct Model {
    prometheus::Histogram* time_to_first_token;  // seconds
    prometheus::Histogram* inter_token_latency;  // seconds
    prometheus::Histogram* request_latency;      // seconds
  };
  Model model(const std::string& name);

  std::shared_ptr<prometheus::Collectable> collectable() const { return registry_; }

 private:
  std::shared_ptr<prometheus::Registry> registry_;
  prometheus::Family<prometheus::Histogram>& first_token_;
  prometheus::Family<prometheus::Histogram>& inter_token_;
  prometheus::Family<prometheus::Histogram>& request_;
};

// Observes one choice as its pieces come. Used by one coroutine.
class ChoiceTimer {
 public:
  using Clock = std::chrono::steady_clock;
  ChoiceTimer(GenerationMetrics::Model model, Clock::time_point start) : model_(model), start_(start) {}

  // `tokens` arrived together at `time`.
  void observe(size_t tokens, Clock::time_point time);
  void finish(Clock::time_point time);

 private:
  GenerationMetrics::Model model_;
  Clock::time_point start_;
  Clock::time_point last_{};
};

}  // namespace zeta::server::openai
