// What the handlers of all APIs share.
#pragma once

#include <memory>
#include <string>

#include "apps/zeta-server/access.h"
#include "apps/zeta-server/control_threads.h"
#include "apps/zeta-server/openai/generation_metrics.h"
#include "src/serving/registry.h"

namespace zeta::serving {
class SharedMemoryRegistry;
}

namespace zeta::server {

class ClientRate;
class Tracer;

struct Context {
  std::shared_ptr<serving::ModelRegistry> registry;
  std::shared_ptr<openai::GenerationMetrics> generation_metrics;
  std::shared_ptr<serving::SharedMemoryRegistry> shared_memory;
  std::shared_ptr<Tracer> tracer;
  std::shared_ptr<ClientRate> client_rate;
  std::string server_id;  // who the server says it is
  AccessRules http_access;
  std::shared_ptr<const HeaderPattern> http_forwarded_headers;  // null: none
  std::shared_ptr<ControlThreads> control_threads;
};

}  // namespace zeta::server
