#include "src/serving/nvml.h"

#include <dlfcn.h>

#include <utility>

#include "src/serving/loaded_function.h"

namespace zeta::serving {
namespace {

using Device = void*;

struct Utilization {
  unsigned gpu, memory;  // percent
};
struct Memory {
  unsigned long long total, free, used;
};

// The functions' own names; 0 is success.
struct Nvml {
  int (*nvmlInit_v2)();
  int (*nvmlDeviceGetCount_v2)(unsigned* count);
  int (*nvmlDeviceGetHandleByIndex_v2)(unsigned index, Device* device);
  int (*nvmlDeviceGetUUID)(Device device, char* uuid, unsigned size);
  int (*nvmlDeviceGetUtilizationRates)(Device device, Utilization* rates);
  int (*nvmlDeviceGetMemoryInfo)(Device device, Memory* memory);
  int (*nvmlDeviceGetPowerUsage)(Device device, unsigned* milliwatts);
  int (*nvmlDeviceGetEnforcedPowerLimit)(Device device, unsigned* milliwatts);
  int (*nvmlDeviceGetTotalEnergyConsumption)(Device device, unsigned long long* millijoules);
};

const Nvml* open_nvml() {
  void* library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return nullptr;
  static Nvml nvml;
  const bool complete =
      find_function(library, "nvmlInit_v2", nvml.nvmlInit_v2) &&
      find_function(library, "nvmlDeviceGetCount_v2", nvml.nvmlDeviceGetCount_v2) &&
      find_function(library, "nvmlDeviceGetHandleByIndex_v2", nvml.nvmlDeviceGetHandleByIndex_v2) &&
      find_function(library, "nvmlDeviceGetUUID", nvml.nvmlDeviceGetUUID) &&
      find_function(library, "nvmlDeviceGetUtilizationRates", nvml.nvmlDeviceGetUtilizationRates) &&
      find_function(library, "nvmlDeviceGetMemoryInfo", nvml.nvmlDeviceGetMemoryInfo) &&
      find_function(library, "nvmlDeviceGetPowerUsage", nvml.nvmlDeviceGetPowerUsage) &&
      find_function(library, "nvmlDeviceGetEnforcedPowerLimit", nvml.nvmlDeviceGetEnforcedPowerLimit) &&
      find_function(library, "nvmlDeviceGetTotalEnergyConsumption", nvml.nvmlDeviceGetTotalEnergyConsumption);
  return complete && nvml.nvmlInit_v2() == 0 ? &nvml : nullptr;
}

std::optional<GpuReading> read_gpu(const Nvml& nvml, unsigned index) {
  Device device = nullptr;
  char uuid[96] = {};
  if (nvml.nvmlDeviceGetHandleByIndex_v2(index, &device) != 0) return std::nullopt;
  if (nvml.nvmlDeviceGetUUID(device, uuid, sizeof uuid) != 0) return std::nullopt;
  GpuReading reading;
  reading.uuid = uuid;
  Utilization rates{};
  if (nvml.nvmlDeviceGetUtilizationRates(device, &rates) == 0) reading.utilization = rates.gpu / 100.0;
  Memory memory{};
  if (nvml.nvmlDeviceGetMemoryInfo(device, &memory) == 0) {
    reading.memory_total_bytes = memory.total;
    reading.memory_used_bytes = memory.used;
  }
  unsigned milliwatts = 0;
  if (nvml.nvmlDeviceGetPowerUsage(device, &milliwatts) == 0) reading.power_usage = milliwatts / 1000.0;
  if (nvml.nvmlDeviceGetEnforcedPowerLimit(device, &milliwatts) == 0) {
    reading.power_limit = milliwatts / 1000.0;
  }
  unsigned long long millijoules = 0;
  if (nvml.nvmlDeviceGetTotalEnergyConsumption(device, &millijoules) == 0) {
    reading.energy = static_cast<double>(millijoules) / 1000.0;
  }
  return reading;
}

}  // namespace

std::vector<GpuReading> read_gpus() {
  static const Nvml* const nvml = open_nvml();
  std::vector<GpuReading> readings;
  unsigned count = 0;
  if (nvml == nullptr || nvml->nvmlDeviceGetCount_v2(&count) != 0) return readings;
  for (unsigned index = 0; index < count; ++index) {
    if (auto reading = read_gpu(*nvml, index)) readings.push_back(*std::move(reading));
  }
  return readings;
}

}  // namespace zeta::serving
