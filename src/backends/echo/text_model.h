// A stand-in for a language model: it says its prompt again, one word a token.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "src/backends/echo/settings.h"
#include "src/backends/echo/ticker.h"
#include "src/serving/backend.h"

namespace zeta::echo {

// Follows the contract for generative models in docs/design/foundation.md.
class TextModel final : public serving::Model {
 public:
  struct Counters {
    std::atomic<int64_t> in_flight{0};
    std::atomic<int64_t> cancelled{0};
  };

  explicit TextModel(const Settings& settings);
  const serving::ModelMetadata& metadata() const override { return metadata_; }
  void infer(std::shared_ptr<const serving::InferRequest> request,
             std::shared_ptr<serving::ResponseSink> sink) override;
  std::vector<serving::MetricSample> metrics() const override;

 private:
  const Settings settings_;
  serving::ModelMetadata metadata_;
  Counters counters_;
  Ticker ticker_;
};

}  // namespace zeta::echo
