#include "apps/zeta-server/network_options.h"

#include "src/base/concat.h"

namespace zeta::server {
namespace {

constexpr int kMaxMilliseconds = INT32_MAX;

void add_grpc_options(CLI::App& app, Options& options, TypedNetwork& typed) {
  const auto group = "gRPC";
  app.add_option("--allow-grpc", options.allow_grpc, "Serve KServe v2 over gRPC")
      ->group(group)
      ->capture_default_str();
  app.add_option("--grpc-port", options.grpc.port, "Port of gRPC; 0: a free one")
      ->group(group)
      ->check(CLI::Range(0, UINT16_MAX))
      ->capture_default_str();
  app.add_option("--grpc-address", options.grpc.address, "IP address to listen on [as --http-address]")
      ->group(group);
  app.add_option("--grpc-max-message-size", options.grpc.max_message_bytes, "Largest request in bytes")
      ->group(group)
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--grpc-max-requests", options.grpc.max_requests,
                 "Under way at once; beyond it requests get UNAVAILABLE")
      ->group(group)
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--grpc-infer-response-compression-level", options.grpc.compression,
                 "none, low, medium or high")
      ->group(group)
      ->check(CLI::IsMember({"none", "low", "medium", "high"}))
      ->capture_default_str();
  app.add_option("--grpc-infer-allocation-pool-size", typed.infer_allocation_pool_size,
                 "Accepted for Triton's sake: nothing is kept in a pool")
      ->group(group)
      ->capture_default_str();
}

void add_tls_options(CLI::App& app, grpc_api::Options& grpc) {
  const auto group = "gRPC over TLS";
  app.add_option("--grpc-use-ssl", grpc.use_tls, "Serve gRPC over TLS only")
      ->group(group)
      ->capture_default_str();
  app.add_option("--grpc-use-ssl-mutual", grpc.require_client_certificate,
                 "Clients must have a certificate too; implies --grpc-use-ssl")
      ->group(group)
      ->capture_default_str();
  app.add_option("--grpc-server-cert", grpc.tls.certificate, "The server's certificate (PEM)")->group(group);
  app.add_option("--grpc-server-key", grpc.tls.key, "Its private key (PEM)")->group(group);
  app.add_option("--grpc-root-cert", grpc.tls.client_authorities,
                 "Who may have signed a client's certificate (PEM)")
      ->group(group);
}

void add_keep_alive_options(CLI::App& app, grpc_api::KeepAlive& keep_alive) {
  const auto group = "gRPC connections";
  const auto add = [&](const char* name, int64_t& value, const char* what) {
    app.add_option(name, value, what)
        ->group(group)
        ->check(CLI::Range(int64_t{0}, int64_t{kMaxMilliseconds}))
        ->capture_default_str();
  };
  add("--grpc-keepalive-time", keep_alive.time_ms, "Milliseconds of silence until a ping");
  add("--grpc-keepalive-timeout", keep_alive.timeout_ms, "Milliseconds to wait for its answer");
  app.add_option("--grpc-keepalive-permit-without-calls", keep_alive.permit_without_calls,
                 "Ping connections without calls too")
      ->group(group)
      ->capture_default_str();
  add("--grpc-http2-max-pings-without-data", keep_alive.max_pings_without_data,
      "Pings in a row without data between them; 0: any number");
  add("--grpc-http2-min-recv-ping-interval-without-data", keep_alive.min_recv_ping_interval_without_data_ms,
      "Milliseconds between a client's pings without data between them");
  add("--grpc-http2-max-ping-strikes", keep_alive.max_ping_strikes,
      "Pings that may come too early before the connection is closed; 0: any number");
  add("--grpc-max-connection-age", keep_alive.max_connection_age_ms,
      "Milliseconds until a connection is asked to end; 0: no limit");
  add("--grpc-max-connection-age-grace", keep_alive.max_connection_age_grace_ms,
      "Milliseconds that it then gets; 0: no limit");
}

void add_access_options(CLI::App& app, Options& options, TypedNetwork& typed) {
  const auto group = "Access";
  app.add_option("--http-restricted-api", typed.http_restricted,
                 "APIs that need a header: API[,API]:HEADER=VALUE (repeatable)")
      ->group(group)
      ->take_all();
  app.add_option("--grpc-restricted-protocol", typed.grpc_restricted,
                 "The same over gRPC, where the header is triton-grpc-protocol-HEADER (repeatable)")
      ->group(group)
      ->take_all();
  app.add_option("--http-header-forward-pattern", typed.http_forwarded,
                 "Headers that become parameters of the request: a regular expression")
      ->group(group);
  app.add_option("--grpc-header-forward-pattern", typed.grpc_forwarded, "The same over gRPC")->group(group);
  app.add_option("--client-request-rate", options.client_request_rate,
                 "Inference requests a second from one address, more get 429 or UNAVAILABLE; 0: any number")
      ->group(group)
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--allow-client-shm", options.allow_client_shm,
                 "Clients may pass tensors through shared memory of this machine")
      ->group(group)
      ->capture_default_str();
}

AccessRules make_rules(const std::string& flag, const std::vector<std::string>& texts) {
  AccessRules rules;
  for (const std::string& text : texts) {
    if (absl::Status status = rules.add(text); !status.ok()) {
      throw CLI::ValidationError(flag, std::string(status.message()));
    }
  }
  return rules;
}

std::shared_ptr<const HeaderPattern> make_pattern(const std::string& flag, const std::string& expression) {
  if (expression.empty()) return nullptr;
  auto pattern = HeaderPattern::make(expression);
  if (!pattern.ok()) throw CLI::ValidationError(flag, std::string(pattern.status().message()));
  return *std::move(pattern);
}

void require_file(bool needed, const std::string& path, const char* flag) {
  if (needed && path.empty()) throw CLI::RequiredError(flag);
}

}  // namespace

void add_network_options(CLI::App& app, Options& options, TypedNetwork& typed) {
  options.grpc.address.clear();
  add_grpc_options(app, options, typed);
  add_tls_options(app, options.grpc);
  add_keep_alive_options(app, options.grpc.keep_alive);
  add_access_options(app, options, typed);
}

void apply(const TypedNetwork& typed, Options& options) {
  options.http_access = make_rules("--http-restricted-api", typed.http_restricted);
  options.http_forwarded_headers = make_pattern("--http-header-forward-pattern", typed.http_forwarded);
  grpc_api::Options& grpc = options.grpc;
  grpc.access = make_rules("--grpc-restricted-protocol", typed.grpc_restricted);
  grpc.forwarded_headers = make_pattern("--grpc-header-forward-pattern", typed.grpc_forwarded);
  if (grpc.address.empty()) grpc.address = options.http_address;
  grpc.request_timeout = options.limits.request_timeout;
  grpc.use_tls = grpc.use_tls || grpc.require_client_certificate;
  require_file(grpc.use_tls, grpc.tls.certificate, "--grpc-server-cert");
  require_file(grpc.use_tls, grpc.tls.key, "--grpc-server-key");
  require_file(grpc.require_client_certificate, grpc.tls.client_authorities, "--grpc-root-cert");
}

}  // namespace zeta::server
