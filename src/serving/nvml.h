// What NVIDIA's management library tells of the GPUs. It comes with the driver and is opened at run time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace zeta::serving {

// One GPU at one moment; what it does not tell is absent.
struct GpuReading {
  std::string uuid;                   // "GPU-…"
  std::optional<double> utilization;  // of the last sampling period, 0 to 1
  std::optional<uint64_t> memory_total_bytes, memory_used_bytes;
  std::optional<double> power_usage, power_limit;  // watts
  std::optional<double> energy;                    // joules since the driver was loaded
};

// Of all GPUs that this process can see, in the library's order. Empty where there is no library or no GPU.
// Thread-safe.
std::vector<GpuReading> read_gpus();

}  // namespace zeta::serving
