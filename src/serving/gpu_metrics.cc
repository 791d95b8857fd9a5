#include "src/serving/gpu_metrics.h"

#include <optional>
#include <utility>

namespace zeta::serving {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

MetricFamily family(const char* name, const char* help, MetricType type) {
  MetricFamily made;
  made.name = name;
  made.help = help;
  made.type = type;
  return made;
}

template <class Value>
void add(MetricFamily& to, const std::string& uuid, const std::optional<Value>& value) {
  if (!value) return;
  ClientMetric metric;
  metric.label = {{"gpu_uuid", uuid}};
  const bool is_counter = to.type == MetricType::Counter;
  (is_counter ? metric.counter.value : metric.gauge.value) = static_cast<double>(*value);
  to.metric.push_back(std::move(metric));
}

}  // namespace

GpuMetrics::GpuMetrics(std::chrono::milliseconds interval, Read read)
    : interval_(interval), read_(std::move(read)), readings_(read_()), read_at_(Clock::now()) {
  for (const GpuReading& reading : readings_) energy_at_start_[reading.uuid] = reading.energy.value_or(0);
}

std::vector<MetricFamily> GpuMetrics::Collect() const {
  MutexLock lock(mutex_);
  if (Clock::now() - read_at_ >= interval_) {
    readings_ = read_();
    read_at_ = Clock::now();
  }
  std::vector<MetricFamily> families{
      family("nv_gpu_utilization", "GPU utilization rate [0.0 - 1.0)", MetricType::Gauge),
      family("nv_gpu_memory_total_bytes", "GPU total memory, in bytes", MetricType::Gauge),
      family("nv_gpu_memory_used_bytes", "GPU used memory, in bytes", MetricType::Gauge),
      family("nv_gpu_power_usage", "GPU power usage in watts", MetricType::Gauge),
      family("nv_gpu_power_limit", "GPU power management limit in watts", MetricType::Gauge),
      family("nv_energy_consumption", "GPU energy consumption in joules since the Triton Server started",
             MetricType::Counter)};
  for (const GpuReading& reading : readings_) {
    add(families[0], reading.uuid, reading.utilization);
    add(families[1], reading.uuid, reading.memory_total_bytes);
    add(families[2], reading.uuid, reading.memory_used_bytes);
    add(families[3], reading.uuid, reading.power_usage);
    add(families[4], reading.uuid, reading.power_limit);
    const auto start = energy_at_start_.find(reading.uuid);
    if (reading.energy && start != energy_at_start_.end()) {
      add(families[5], reading.uuid, std::optional(*reading.energy - start->second));
    }
  }
  std::erase_if(families, [](const MetricFamily& one) { return one.metric.empty(); });
  return families;
}

}  // namespace zeta::serving
