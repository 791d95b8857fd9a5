#include "src/serving/scheduling/placed_instance.h"

#include <utility>

#include "src/base/concat.h"

namespace zeta::serving {

std::vector<PlacedInstance> instances_of(const std::string& model, std::vector<InstanceGroup> groups) {
  if (groups.empty()) groups.emplace_back();
  std::vector<PlacedInstance> instances;
  for (size_t i = 0; i < groups.size(); ++i) {
    InstanceGroup& group = groups[i];
    if (group.name.empty()) group.name = concat(model, "_", i);
    const bool on_gpu = group.kind == Placement::Kind::kGpu;
    std::vector<int> devices = on_gpu ? group.gpus : std::vector<int>{0};
    if (devices.empty()) devices = {0};
    for (const int device : devices) {
      for (int n = 0; n < group.count; ++n) {
        std::string name = concat(group.name, "_", n);
        if (on_gpu) name += concat(" (GPU ", device, ")");
        instances.push_back({{std::move(name), group.kind, device}, group.rate_limit});
      }
    }
  }
  return instances;
}

}  // namespace zeta::serving
