#include "apps/zeta-server/grpc/server.h"

#include <grpc/support/log.h>
#include <grpcpp/grpcpp.h>

#include <fstream>
#include <sstream>
#include <stdexcept>
#include <utility>
#include <vector>

#include "apps/zeta-server/grpc/call_context.h"
#include "apps/zeta-server/grpc/service.h"
#include "src/base/concat.h"
#include "src/base/log.h"

namespace zeta::server::grpc_api {
namespace {

std::string read_file(const std::string& path, std::string_view flag) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (path.empty() || !file || !(text << file.rdbuf())) {
    throw std::runtime_error(concat("cannot read '", path, "' (", flag, ")"));
  }
  return text.str();
}

std::shared_ptr<grpc::ServerCredentials> make_credentials(const Options& options) {
  if (!options.use_tls) return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions tls(options.require_client_certificate
                                            ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                                            : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
  tls.pem_key_cert_pairs.push_back({read_file(options.tls.key, "--grpc-server-key"),
                                    read_file(options.tls.certificate, "--grpc-server-cert")});
  if (options.require_client_certificate) {
    tls.pem_root_certs = read_file(options.tls.client_authorities, "--grpc-root-cert");
  }
  return grpc::SslServerCredentials(tls);
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
      : call_{std::move(context), options.access, options.forwarded_headers, options.request_timeout,
              CallLimits(options.max_requests)},
        inference_(make_inference_service(call_)),
        health_(make_health_service(call_)) {
    gpr_set_log_function(log_of_grpc);
    grpc::EnableDefaultHealthCheckService(false);
    grpc::ServerBuilder builder;
    builder.AddListeningPort(target(options), make_credentials(options), &port_);
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
      throw std::runtime_error(concat("cannot listen on ", options.address, ":", options.port,
                                      " (gRPC): the port is in use, or the certificate or key is wrong"));
    }
  }
  ~State() {
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
  }

  uint16_t port() const { return static_cast<uint16_t>(port_); }

  size_t drain(std::chrono::steady_clock::time_point deadline) {
    call_.limits.drain();
    const auto left = deadline - std::chrono::steady_clock::now();
    // Waits for the calls under way; those that are left at the deadline it cancels, which ends them at once.
    server_->Shutdown(std::chrono::system_clock::now() +
                      std::chrono::duration_cast<std::chrono::system_clock::duration>(left));
    return call_.limits.abandoned();
  }

 private:
  CallContext call_;
  const std::unique_ptr<grpc::Service> inference_, health_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

Server::Server(const Options& options, std::shared_ptr<const Context> context)
    : state_(std::make_unique<State>(options, std::move(context))) {}
Server::~Server() = default;

uint16_t Server::port() const { return state_->port(); }
size_t Server::drain(std::chrono::steady_clock::time_point deadline) { return state_->drain(deadline); }

}  // namespace zeta::server::grpc_api
