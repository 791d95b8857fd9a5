// A loaded model together with the account of its requests.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "src/serving/backend.h"
#include "src/serving/response_cache.h"
#include "src/serving/statistics.h"

namespace zeta::serving {

// Thread-safe. Whoever sends a request holds a reference until the final response: the model must not be
// destroyed by its own thread.
class ServedModel {
 public:
  // `statistics` are those that the model's scheduler reports to; null: it has none. `cache` answers what was
  // asked before; null: none. REQUIRES: not for a decoupled model.
  ServedModel(ModelMetadata metadata, std::unique_ptr<Model> model, double load_seconds,
              std::shared_ptr<Statistics> statistics = nullptr,
              std::shared_ptr<ResponseCache> cache = nullptr);

  const ModelMetadata& metadata() const { return metadata_; }
  double load_seconds() const { return load_seconds_; }
  int64_t loaded_at() const { return loaded_at_; }  // seconds since 1970

  // Checks the request against the metadata and passes it on. Whatever goes wrong, even in a backend that
  // throws or goes on talking after its end, `sink` gets exactly one final response.
  void infer(std::shared_ptr<const InferRequest> request, std::shared_ptr<ResponseSink> sink);

  StatisticsSnapshot statistics() const { return statistics_->snapshot(); }
  bool is_cached() const { return cache_ != nullptr; }
  std::vector<MetricSample> metrics() const { return model_->metrics(); }

 private:
  const ModelMetadata metadata_;
  const double load_seconds_;
  const int64_t loaded_at_;
  const std::shared_ptr<Statistics> statistics_;
  const std::shared_ptr<ResponseCache> cache_;
  const std::string cache_name_;  // a loaded model's own: nobody gets what another of its name has said
  const std::unique_ptr<Model> model_;
};

}  // namespace zeta::serving
