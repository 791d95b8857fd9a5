// A registry's figures for Prometheus.
#pragma once

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <memory>
#include <vector>

#include "src/serving/registry.h"

namespace zeta::serving {

// Triton's nv_inference_* counters, what each model publishes itself, and the models' states, all labelled
// with model and version. Thread-safe.
class ModelMetrics final : public prometheus::Collectable {
 public:
  explicit ModelMetrics(std::shared_ptr<const ModelRegistry> registry);
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  std::shared_ptr<const ModelRegistry> registry_;
};

}  // namespace zeta::serving
