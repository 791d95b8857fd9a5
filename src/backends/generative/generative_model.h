// A loaded language model behind serving::Model.
#pragma once

#include <memory>
#include <vector>

#include "src/engine/engine.h"
#include "src/serving/backend.h"

namespace zeta::generative {

// What a model occupies, for its metrics.
struct ModelSizes {
  size_t resident_weight_bytes, packed_weight_bytes;
  int64_t kv_cache_tokens;
};

class GenerativeModel : public serving::Model {
 public:
  GenerativeModel(serving::ModelMetadata metadata, ModelSizes sizes, std::unique_ptr<engine::Engine> engine);

  const serving::ModelMetadata& metadata() const override { return metadata_; }
  void infer(std::shared_ptr<const serving::InferRequest> request,
             std::shared_ptr<serving::ResponseSink> sink) override;
  // Named after vLLM's, with the prefix zeta_; histograms are given as their sum and count.
  std::vector<serving::MetricSample> metrics() const override;

 private:
  serving::ModelMetadata metadata_;
  ModelSizes sizes_;
  std::unique_ptr<engine::Engine> engine_;
};

}  // namespace zeta::generative
