#include "src/serving/model_metrics.h"

#include <map>
#include <string>
#include <utility>

namespace zeta::serving {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

// Families by name, each with the samples of all models.
class Families {
 public:
  void add(const std::string& name, const std::string& help, MetricType type, Labels labels, double value) {
    MetricFamily& family = families_[name];
    family.name = name;
    family.help = help;
    family.type = type;
    ClientMetric metric;
    metric.label = std::move(labels);
    (type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
    family.metric.push_back(std::move(metric));
  }
  std::vector<MetricFamily> take() {
    std::vector<MetricFamily> list;
    list.reserve(families_.size());
    for (auto& [name, family] : families_) list.push_back(std::move(family));
    return list;
  }

 private:
  std::map<std::string, MetricFamily> families_;
};

Labels with(Labels labels, std::string name, std::string value) {
  labels.push_back({std::move(name), std::move(value)});
  return labels;
}

void add_failures(Families& families, const Labels& labels, const StatisticsSnapshot& statistics) {
  const std::pair<const char*, double> reasons[] = {
      {"REJECTED", static_cast<double>(statistics.rejected)},
      {"CANCELED", static_cast<double>(statistics.canceled)},
      {"BACKEND", static_cast<double>(statistics.backend_failure)},
      {"OTHER", static_cast<double>(statistics.other_failure)}};
  for (const auto& [reason, value] : reasons) {
    families.add("nv_inference_request_failure", "Number of failed inference requests", MetricType::Counter,
                 with(labels, "reason", reason), value);
  }
}

void add_cache(Families& families, const Labels& labels, const StatisticsSnapshot& statistics) {
  const auto counter = [&](const char* name, const char* help, uint64_t value) {
    families.add(name, help, MetricType::Counter, labels, static_cast<double>(value));
  };
  counter("nv_cache_num_hits_per_model", "Number of cache hits per model", statistics.cache_hit.count);
  counter("nv_cache_num_misses_per_model", "Number of cache misses per model", statistics.cache_miss.count);
  counter("nv_cache_hit_duration_per_model", "Total cache hit duration per model, in microseconds",
          statistics.cache_hit.ns / 1000);
  counter("nv_cache_miss_duration_per_model", "Total cache miss duration per model, in microseconds",
          statistics.cache_miss.ns / 1000);
}

void add_statistics(Families& families, const Labels& labels, const StatisticsSnapshot& statistics) {
  const auto counter = [&](const char* name, const char* help, double value) {
    families.add(name, help, MetricType::Counter, labels, value);
  };
  const auto total = [&](const char* name, const char* help, const DurationTotal& duration) {
    const uint64_t microseconds = duration.ns / 1000;
    counter(name, help, static_cast<double>(microseconds));
  };
  counter("nv_inference_request_success", "Number of successful inference requests, all batch sizes",
          static_cast<double>(statistics.success.count));
  counter("nv_inference_count", "Number of inferences performed (does not include cached requests)",
          static_cast<double>(statistics.inference_count));
  counter("nv_inference_exec_count",
          "Number of model executions performed (does not include cached requests)",
          static_cast<double>(statistics.execution_count));
  total("nv_inference_request_duration_us",
        "Cumulative inference request duration in microseconds (includes cached requests)",
        statistics.success);
  total("nv_inference_queue_duration_us",
        "Cumulative inference queuing duration in microseconds (includes cached requests)", statistics.queue);
  total("nv_inference_compute_input_duration_us", "Cumulative compute input duration in microseconds",
        statistics.compute_input);
  total("nv_inference_compute_infer_duration_us", "Cumulative compute inference duration in microseconds",
        statistics.compute_infer);
  total("nv_inference_compute_output_duration_us",
        "Cumulative inference compute output duration in microseconds", statistics.compute_output);
  families.add("nv_inference_pending_request_count",
               "Instantaneous number of pending requests awaiting execution per-model.", MetricType::Gauge,
               labels, static_cast<double>(statistics.pending));
  counter("zeta_inference_responses_total",
          "Responses sent, of which a decoupled model has several a request",
          static_cast<double>(statistics.responses));
  families.add("zeta_inference_in_flight", "Requests waiting or being worked on", MetricType::Gauge, labels,
               static_cast<double>(statistics.in_flight));
  add_failures(families, labels, statistics);
}

}  // namespace

ModelMetrics::ModelMetrics(std::shared_ptr<const ModelRegistry> registry) : registry_(std::move(registry)) {}

std::vector<MetricFamily> ModelMetrics::Collect() const {
  Families families;
  for (const ModelStatus& status : registry_->index()) {
    if (status.state == ModelState::kUnknown) continue;
    families.add("zeta_model_ready", "1 when the model answers requests", MetricType::Gauge,
                 {{"model", status.name}, {"version", status.version}}, status.state == ModelState::kReady);
  }
  for (const auto& model : registry_->ready_models()) {
    Labels labels{{"model", model->metadata().name}, {"version", model->metadata().version}};
    for (const auto& [name, value] : model->metadata().metric_tags) labels.push_back({name, value});
    add_statistics(families, labels, model->statistics());
    if (model->is_cached()) add_cache(families, labels, model->statistics());
    families.add("nv_model_load_duration_secs", "Time the model took to load in seconds", MetricType::Gauge,
                 labels, model->load_seconds());
    for (const MetricSample& sample : model->metrics()) {
      const bool is_counter = sample.kind == MetricSample::Kind::kCounter;
      families.add(sample.name, sample.help, is_counter ? MetricType::Counter : MetricType::Gauge, labels,
                   sample.value);
    }
  }
  return families.take();
}

}  // namespace zeta::serving
