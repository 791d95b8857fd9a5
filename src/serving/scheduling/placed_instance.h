// The instances that a configuration's groups ask for.
#pragma once

#include <string>
#include <vector>

#include "src/serving/backend.h"
#include "src/serving/scheduling/policy.h"

namespace zeta::serving {

struct PlacedInstance {
  Placement placement;
  RateLimit limit;
};

// Where the instances of groups go, one each.
std::vector<PlacedInstance> instances_of(const std::string& model, std::vector<InstanceGroup> groups);

}  // namespace zeta::serving
