// What the handlers of all APIs share.
#pragma once

#include <memory>

#include "apps/zeta-server/control_threads.h"
#include "apps/zeta-server/openai/generation_metrics.h"
#include "src/serving/registry.h"

namespace zeta::server {

struct Context {
  std::shared_ptr<serving::ModelRegistry> registry;
  std::shared_ptr<openai::GenerationMetrics> generation_metrics;
  std::shared_ptr<ControlThreads> control_threads;
};

}  // namespace zeta::server
