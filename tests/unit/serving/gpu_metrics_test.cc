#include "src/serving/gpu_metrics.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace zeta::serving {
namespace {

using std::chrono::milliseconds;

struct Source {
  GpuReading reading{.uuid = "GPU-1",
                     .utilization = 0.5,
                     .memory_total_bytes = 1000,
                     .memory_used_bytes = 10,
                     .power_usage = 70.5,
                     .power_limit = 700,
                     .energy = 5000};
  int reads = 0;
};

// Family name to the value of its one sample.
std::map<std::string, double> values_of(const GpuMetrics& metrics) {
  std::map<std::string, double> values;
  for (const auto& family : metrics.Collect()) {
    EXPECT_EQ(family.metric.size(), 1u) << family.name;
    EXPECT_EQ(family.metric[0].label[0].name, "gpu_uuid");
    EXPECT_EQ(family.metric[0].label[0].value, "GPU-1");
    const bool is_counter = family.type == prometheus::MetricType::Counter;
    values[family.name] = is_counter ? family.metric[0].counter.value : family.metric[0].gauge.value;
  }
  return values;
}

TEST(GpuMetrics, TritonsNamesAndUnits) {
  const auto source = std::make_shared<Source>();
  const GpuMetrics metrics(milliseconds(0), [source] { return std::vector{source->reading}; });
  source->reading.energy = 5012;
  const std::map<std::string, double> expected{
      {"nv_gpu_utilization", 0.5},  {"nv_gpu_memory_total_bytes", 1000}, {"nv_gpu_memory_used_bytes", 10},
      {"nv_gpu_power_usage", 70.5}, {"nv_gpu_power_limit", 700},         {"nv_energy_consumption", 12}};
  EXPECT_EQ(values_of(metrics), expected);
}

TEST(GpuMetrics, WhatAGpuDoesNotTellIsLeftOut) {
  const auto source = std::make_shared<Source>();
  source->reading = {};
  source->reading.uuid = "GPU-1";
  source->reading.utilization = 0.25;
  const GpuMetrics metrics(milliseconds(0), [source] { return std::vector{source->reading}; });
  EXPECT_EQ(values_of(metrics), (std::map<std::string, double>{{"nv_gpu_utilization", 0.25}}));
  const GpuMetrics none(milliseconds(0), [] { return std::vector<GpuReading>(); });
  EXPECT_TRUE(none.Collect().empty());
}

TEST(GpuMetrics, OneReadingAnInterval) {
  const auto source = std::make_shared<Source>();
  const auto read = [source] {
    ++source->reads;
    return std::vector{source->reading};
  };
  const GpuMetrics often(milliseconds(0), read);
  often.Collect();
  often.Collect();
  EXPECT_EQ(source->reads, 3);
  const GpuMetrics seldom(milliseconds(3'600'000), read);
  seldom.Collect();
  seldom.Collect();
  EXPECT_EQ(source->reads, 4);
}

TEST(ReadGpus, NeverFails) {
  for (const GpuReading& reading : read_gpus()) EXPECT_FALSE(reading.uuid.empty());
}

}  // namespace
}  // namespace zeta::serving
