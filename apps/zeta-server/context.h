// What the handlers of all APIs share.
#pragma once

#include <memory>

#include "apps/zeta-server/access.h"
#include "apps/zeta-server/control_threads.h"
#include "apps/zeta-server/openai/generation_metrics.h"
#include "src/serving/registry.h"

namespace zeta::serving {
class SharedMemoryRegistry;
}

namespace zeta::server {

class TraceSettings;

struct Context {
  std::shared_ptr<serving::ModelRegistry> registry;
  std::shared_ptr<openai::GenerationMetrics> generation_metrics;
  std::shared_ptr<serving::SharedMemoryRegistry> shared_memory;
  std::shared_ptr<TraceSettings> trace_settings;
  AccessRules http_access;
  std::shared_ptr<const HeaderPattern> http_forwarded_headers;  // null: none
  std::shared_ptr<ControlThreads> control_threads;
};

}  // namespace zeta::server
