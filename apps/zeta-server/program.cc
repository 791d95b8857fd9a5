#include "apps/zeta-server/program.h"

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include "apps/zeta-server/client_rate.h"
#include "apps/zeta-server/context.h"
#include "apps/zeta-server/grpc/server.h"
#include "apps/zeta-server/kserve/error.h"
#include "apps/zeta-server/kserve/routes.h"
#include "apps/zeta-server/model_sources.h"
#include "apps/zeta-server/model_table.h"
#include "apps/zeta-server/monitoring.h"
#include "apps/zeta-server/openai/error.h"
#include "apps/zeta-server/openai/routes.h"
#include "apps/zeta-server/start_failure.h"
#include "apps/zeta-server/tracing/tracer.h"
#include "src/base/concat.h"
#include "src/base/log.h"
#include "src/base/mutex.h"
#include "src/http/server.h"
#include "src/serving/shared_memory.h"

namespace zeta::server {
namespace {

// Every connection takes a descriptor, and the usual limit of 1024 is soon reached.
void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

http::Response transport_error(std::string_view path, int status, std::string_view message) {
  if (!path.starts_with("/v1/")) return kserve::error_response(status, message);
  return openai::error_response(openai::ApiError(status, std::string(message), "", ""));
}

std::shared_ptr<const http::Service> make_service(const std::shared_ptr<const Context>& context,
                                                  const http::Limits& limits) {
  auto service = std::make_shared<http::Service>();
  service->name = "http";
  service->limits = limits;
  service->error = transport_error;
  kserve::add_routes(service->router, context);
  openai::add_routes(service->router, context);
  return service;
}

// `flags`: the common beginning of the two that choose address and port.
void listen(http::Server& server, const std::string& address, uint16_t port, const char* flags,
            std::shared_ptr<const http::Service> service) {
  try {
    const std::string name = service->name;
    const uint16_t bound = server.listen(address, port, std::move(service));
    log::info("listening", {{"service", name}, {"address", address}, {"port", bound}});
  } catch (const std::runtime_error& error) {
    throw StartFailure(kExitFailed,
                       concat(error.what(), "; choose another with ", flags, "-address or ", flags, "-port"));
  }
}

void listen_all(http::Server& server, const Options& options, const std::shared_ptr<const Context>& context) {
  if (options.allow_http) {
    listen(server, options.http_address, options.http_port, "--http", make_service(context, options.limits));
  }
  if (!options.allow_metrics) return;
  listen(server, options.metrics_address, options.metrics_port, "--metrics",
         make_metrics_service(*context, options));
}

// null: not allowed.
std::unique_ptr<grpc_api::Server> listen_grpc(const Options& options,
                                              const std::shared_ptr<const Context>& context) {
  if (!options.allow_grpc) return nullptr;
  try {
    auto server = std::make_unique<grpc_api::Server>(options.grpc, context);
    log::info("listening",
              {{"service", "grpc"}, {"address", options.grpc.address}, {"port", server->port()}});
    return server;
  } catch (const std::runtime_error& error) {
    throw StartFailure(
        kExitFailed,
        concat(error.what(), "; choose another with --grpc-address or --grpc-port, or --allow-grpc false"));
  }
}

// Both ports get the same time, side by side. Returns what was given up on.
size_t drain_all(http::Server& http, grpc_api::Server* grpc, std::chrono::milliseconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  size_t grpc_abandoned = 0;
  std::jthread draining([&] {
    if (grpc != nullptr) grpc_abandoned = grpc->drain(deadline);
  });
  const size_t http_abandoned = http.drain(deadline);
  draining.join();
  return http_abandoned + grpc_abandoned;
}

bool all_ready(const serving::ModelRegistry& registry) {
  return std::ranges::all_of(registry.index(), [](const serving::ModelStatus& model) {
    return model.state == serving::ModelState::kReady || model.state == serving::ModelState::kUnknown;
  });
}

// Loads the models on a thread of its own, so that the server lives meanwhile.
class Loader {
 public:
  // All outlive the loader.
  Loader(const Options& options, serving::ModelRegistry& registry, Shutdown& shutdown)
      : thread_([this, &options, &registry, &shutdown] { load(options, registry, shutdown); }) {}

  // A failure from now on is no news, and nothing more is loaded.
  void end() ZETA_EXCLUDES(mutex_) {
    ending_ = true;
    MutexLock lock(mutex_);
    stopping_ = true;
    stop_.notify_all();
  }
  bool done() const { return done_; }
  bool failed() const { return failed_; }

 private:
  void load(const Options& options, serving::ModelRegistry& registry, Shutdown& shutdown) {
    registry.load_all(options.load_threads);
    if (options.log.format == log::Format::kText) {
      std::fputs(model_table(registry.index()).c_str(), stdout);
      std::fflush(stdout);
    }
    failed_ = !all_ready(registry) && !ending_;
    done_ = true;
    if (!failed_) log::info("ready");
    if (failed_ && options.exit_on_error)
      return shutdown.request("a model cannot be loaded (--exit-on-error)");
    if (options.registry.control == serving::ModelControl::kPoll) poll(options, registry);
  }

  void poll(const Options& options, serving::ModelRegistry& registry) {
    const auto next = [&] { return std::chrono::steady_clock::now() + options.poll_interval; };
    while (wait_until(next())) {
      done_ = false;
      registry.poll();
      done_ = true;
    }
  }

  // False when the end comes first.
  bool wait_until(std::chrono::steady_clock::time_point time) ZETA_EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    while (!stopping_ && stop_.wait_until(mutex_, time)) {
    }
    return !stopping_;
  }

  std::atomic<bool> ending_{false}, done_{false}, failed_{false};
  Mutex mutex_;
  CondVar stop_;
  bool stopping_ ZETA_GUARDED_BY(mutex_) = false;
  std::jthread thread_;
};

int serve(const Options& options, Shutdown& shutdown) {
  auto context = std::make_shared<Context>();
  context->registry = find_models(options);
  context->generation_metrics = std::make_shared<openai::GenerationMetrics>();
  context->shared_memory = std::make_shared<serving::SharedMemoryRegistry>(options.allow_client_shm);
  context->tracer = std::make_shared<Tracer>(options.traces);
  context->client_rate = std::make_shared<ClientRate>(options.client_request_rate);
  context->server_id = options.server_id;
  context->http_access = options.http_access;
  context->http_forwarded_headers = options.http_forwarded_headers;
  context->control_threads = std::make_shared<ControlThreads>(options.load_threads);
  http::Server server(options.http_threads);
  listen_all(server, options, context);
  const auto grpc_server = listen_grpc(options, context);
  Loader loader(options, *context->registry, shutdown);

  const std::string reason = shutdown.wait([&] {
    if (grpc_server != nullptr) grpc_server->reload_certificates();
  });
  log::info("shutting down", {{"reason", reason}, {"connections", server.connections()}});
  loader.end();
  const bool failed = loader.failed() && options.exit_on_error;
  context->registry->close();
  const size_t aborted = drain_all(server, grpc_server.get(), options.exit_timeout);
  if (aborted != 0) log::warning("dropped at the exit timeout", {{"connections", aborted}});
  if (!loader.done() || context->control_threads->busy()) {
    log::warning("a model is still being loaded; ending without it");
    log::flush();
    std::_Exit(kExitOk);
  }
  context->registry->unload_all();
  log::info("ended");
  return failed ? kExitFailed : kExitOk;
}

}  // namespace

int run(const Options& options, Shutdown& shutdown) {
  try {
    log::configure(options.log);
    raise_descriptor_limit();
    return serve(options, shutdown);
  } catch (const StartFailure& failure) {
    std::fprintf(stderr, "zeta-server: %s\n", failure.what());
    return failure.exit_code;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "zeta-server: %s\n", error.what());
    return kExitFailed;
  }
}

}  // namespace zeta::server
