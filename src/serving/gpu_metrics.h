// Triton's figures of the GPUs for Prometheus.
#pragma once

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "src/base/mutex.h"
#include "src/serving/nvml.h"

namespace zeta::serving {

// nv_gpu_* and nv_energy_consumption, labelled with gpu_uuid; nothing where there is no GPU. Scrapes within
// `interval` of each other show one reading. Energy counts from when this was made. Thread-safe.
class GpuMetrics final : public prometheus::Collectable {
 public:
  using Read = std::function<std::vector<GpuReading>()>;
  explicit GpuMetrics(std::chrono::milliseconds interval, Read read = read_gpus);
  std::vector<prometheus::MetricFamily> Collect() const override ZETA_EXCLUDES(mutex_);

 private:
  using Clock = std::chrono::steady_clock;

  const std::chrono::milliseconds interval_;
  const Read read_;
  std::map<std::string, double> energy_at_start_;  // by UUID
  mutable Mutex mutex_;
  mutable std::vector<GpuReading> readings_ ZETA_GUARDED_BY(mutex_);
  mutable Clock::time_point read_at_ ZETA_GUARDED_BY(mutex_);
};

}  // namespace zeta::serving
