#include "apps/zeta-server/triton_flags.h"

namespace zeta::server {
namespace {

// Sizes and switches of pools, threads and samplers that this server does not have.
constexpr const char* kWithoutMeaning[] = {
    "--pinned-memory-pool-byte-size",   "--cuda-memory-pool-byte-size", "--cuda-virtual-address-size",
    "--buffer-manager-thread-count",    "--enable-peer-access",         "--min-supported-compute-capability",
    "--backend-default-max-batch-size",
};

void refuse(bool wanted, const char* flag, const char* why) {
  if (wanted) throw CLI::ValidationError(flag, why);
}

}  // namespace

void add_triton_options(CLI::App& app, Options& options, TypedTriton& typed) {
  const auto group = "As Triton";
  app.add_option("--id", options.server_id, "The name that the server tells its clients")
      ->group(group)
      ->capture_default_str();
  app.add_option("--log-info", typed.log_info, "false: no lines of level info")->group(group);
  app.add_option("--log-warning", typed.log_warning, "false: errors only")->group(group);
  app.add_option("--log-error", typed.log_error, "Errors are always logged")->group(group);
  app.add_option("--strict-model-config", typed.strict_model_config, "Only false")->group(group);
  app.add_option("--disable-auto-complete-config", typed.disable_auto_complete, "Only false")->group(group);
  app.add_option("--reuse-http-port", typed.reuse_http_port, "Only false")->group(group);
  app.add_option("--reuse-grpc-port", typed.reuse_grpc_port, "Only false")->group(group);
  for (const char* flag : kWithoutMeaning) {
    app.add_option(flag, typed.ignored, "Accepted: there is nothing that it would set")
        ->group("")
        ->take_all();
  }
}

void apply(const TypedTriton& typed, Options& options) {
  const char* const completes = "configurations are always completed here; only false can be had";
  refuse(typed.strict_model_config, "--strict-model-config", completes);
  refuse(typed.disable_auto_complete, "--disable-auto-complete-config", completes);
  const char* const ports = "a port belongs to one server; only false can be had";
  refuse(typed.reuse_http_port, "--reuse-http-port", ports);
  refuse(typed.reuse_grpc_port, "--reuse-grpc-port", ports);
  refuse(!typed.log_error, "--log-error", "errors are always logged");
  if (options.log.level == log::Level::kVerbose) return;
  if (!typed.log_info) options.log.level = log::Level::kWarning;
  if (!typed.log_warning) options.log.level = log::Level::kError;
}

}  // namespace zeta::server
