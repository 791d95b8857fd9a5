#include "src/serving/model_config/gpus.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

namespace zeta::serving {

int gpu_count() {
  constexpr std::string_view kDevice = "nvidia";
  int count = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/dev", error)) {
    const std::string name = entry.path().filename();
    const bool numbered = name.starts_with(kDevice) && name.size() > kDevice.size() &&
                          name.find_first_not_of("0123456789", kDevice.size()) == std::string::npos;
    if (numbered) ++count;
  }
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  if (visible == nullptr) return count;
  const std::string_view list(visible);
  if (list.empty() || list.front() == '-') return 0;
  return std::min<int>(count, static_cast<int>(std::ranges::count(list, ',')) + 1);
}

}  // namespace zeta::serving
