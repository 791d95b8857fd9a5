#include "apps/zeta-server/grpc/server.h"

#include <grpc/support/log.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <stdexcept>
#include <utility>
#include <vector>

#include "apps/zeta-server/certificates.h"
#include "apps/zeta-server/grpc/call_context.h"
#include "apps/zeta-server/grpc/service.h"
#include "src/base/concat.h"
#include "src/base/log.h"

namespace zeta::server::grpc_api {
namespace {

constexpr unsigned kWatchSeconds = 1;  // the least that gRPC can do

std::shared_ptr<grpc::ServerCredentials> make_credentials(const Options& options,
                                                          WatchedTexts& certificates) {
  if (!options.use_tls) return grpc::InsecureServerCredentials();
  using grpc::experimental::FileWatcherCertificateProvider;
  const std::string identity = certificates.identity();
  const auto provider = std::make_shared<FileWatcherCertificateProvider>(
      identity, identity, options.require_client_certificate ? certificates.client_authorities() : "",
      kWatchSeconds);
  grpc::experimental::TlsServerCredentialsOptions tls(provider);
  tls.watch_identity_key_cert_pairs();
  if (options.require_client_certificate) tls.watch_root_certs();
  tls.set_cert_request_type(options.require_client_certificate
                                ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                                : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
  return grpc::experimental::TlsServerCredentials(tls);
}

// Only those that are used need to be there.
TlsFiles files_of(const Options& options) {
  TlsFiles files = options.tls;
  if (!options.require_client_certificate) files.client_authorities.clear();
  return files;
}

void add_keep_alive(const KeepAlive& keep_alive, grpc::ServerBuilder& builder) {
  const auto add = [&](const char* name, int64_t value) {
    builder.AddChannelArgument(name, static_cast<int>(std::min<int64_t>(value, INT32_MAX)));
  };
  add(GRPC_ARG_KEEPALIVE_TIME_MS, keep_alive.time_ms);
  add(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, keep_alive.timeout_ms);
  add(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, keep_alive.permit_without_calls ? 1 : 0);
  add(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, keep_alive.max_pings_without_data);
  add(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
      keep_alive.min_recv_ping_interval_without_data_ms);
  add(GRPC_ARG_HTTP2_MAX_PING_STRIKES, keep_alive.max_ping_strikes);
  if (keep_alive.max_connection_age_ms > 0) {
    add(GRPC_ARG_MAX_CONNECTION_AGE_MS, keep_alive.max_connection_age_ms);
  }
  if (keep_alive.max_connection_age_grace_ms > 0) {
    add(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, keep_alive.max_connection_age_grace_ms);
  }
}

grpc_compression_level compression_level(const std::string& name) {
  if (name == "low") return GRPC_COMPRESS_LEVEL_LOW;
  if (name == "medium") return GRPC_COMPRESS_LEVEL_MED;
  if (name == "high") return GRPC_COMPRESS_LEVEL_HIGH;
  return GRPC_COMPRESS_LEVEL_NONE;
}

// gRPC's own complaints, in the form of our log.
void log_of_grpc(gpr_log_func_args* line) {
  if (line->severity == GPR_LOG_SEVERITY_ERROR) log::warning("gRPC", {{"message", line->message}});
}

std::string target(const Options& options) {
  const bool is_ipv6 = options.address.find(':') != std::string::npos;
  return concat(is_ipv6 ? "[" : "", options.address, is_ipv6 ? "]:" : ":", options.port);
}

}  // namespace

class Server::State {
 public:
  State(const Options& options, std::shared_ptr<const Context> context)
      : options_(options),
        call_{std::move(context), options.access, options.forwarded_headers, options.request_timeout,
              CallLimits(options.max_requests)},
        inference_(make_inference_service(call_)),
        health_(make_health_service(call_)) {
    gpr_set_log_function(log_of_grpc);
    grpc::EnableDefaultHealthCheckService(false);
    if (options.use_tls) {
      if (absl::Status status = read_certificates(); !status.ok()) {
        throw std::runtime_error(std::string(status.message()));
      }
    }
    grpc::ServerBuilder builder;
    builder.AddListeningPort(target(options), make_credentials(options, certificates_), &port_);
    builder.RegisterService(inference_.get());
    builder.RegisterService(health_.get());
    builder.SetMaxReceiveMessageSize(options.max_message_bytes);
    builder.SetMaxSendMessageSize(-1);
    builder.SetDefaultCompressionLevel(compression_level(options.compression));
    // Else two servers could share a port, each with part of the requests.
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    add_keep_alive(options.keep_alive, builder);
    server_ = builder.BuildAndStart();
    if (!server_ || port_ == 0) {
      throw std::runtime_error(
          concat("cannot listen on ", options.address, ":", options.port, " (gRPC): the port is in use"));
    }
  }
  ~State() {
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
  }

  uint16_t port() const { return static_cast<uint16_t>(port_); }

  void reload_certificates() {
    if (!options_.use_tls) return;
    const absl::Status status = read_certificates();
    if (status.ok()) {
      log::info("certificate reloaded", {{"service", "grpc"}, {"file", options_.tls.certificate}});
    } else {
      log::error("certificate not reloaded; the old one stays",
                 {{"service", "grpc"}, {"reason", std::string(status.message())}});
    }
  }

  size_t drain(std::chrono::steady_clock::time_point deadline) {
    call_.limits.drain();
    const auto left = deadline - std::chrono::steady_clock::now();
    // Waits for the calls under way; those that are left at the deadline it cancels, which ends them at once.
    server_->Shutdown(std::chrono::system_clock::now() +
                      std::chrono::duration_cast<std::chrono::system_clock::duration>(left));
    return call_.limits.abandoned();
  }

 private:
  absl::Status read_certificates() {
    const auto texts = read_tls_files(files_of(options_));
    return texts.ok() ? certificates_.publish(*texts) : texts.status();
  }

  const Options options_;
  WatchedTexts certificates_;
  CallContext call_;
  const std::unique_ptr<grpc::Service> inference_, health_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

Server::Server(const Options& options, std::shared_ptr<const Context> context)
    : state_(std::make_unique<State>(options, std::move(context))) {}
Server::~Server() = default;

void Server::reload_certificates() { state_->reload_certificates(); }
uint16_t Server::port() const { return state_->port(); }
size_t Server::drain(std::chrono::steady_clock::time_point deadline) { return state_->drain(deadline); }

}  // namespace zeta::server::grpc_api
