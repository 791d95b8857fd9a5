// The gRPC port.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

#include "apps/zeta-server/context.h"
#include "apps/zeta-server/grpc/options.h"

namespace zeta::server::grpc_api {

// Serves from its construction on. Methods may be called from any thread but one after another.
class Server {
 public:
  // Throws std::runtime_error that says address, port or file, and the reason, when it cannot serve.
  Server(const Options& options, std::shared_ptr<const Context> context);
  ~Server();  // drops what is still under way: drain() first

  // Reads the files of the certificate anew, for connections to come, which get it within a second or two.
  // When they are no certificate and key the old ones stay, and the log says why. One thread at a time.
  void reload_certificates();

  uint16_t port() const;

  // Takes no more requests and waits for those under way; streams are ended as soon as they have none. At
  // `deadline` those left are abandoned. Returns how many requests that were.
  size_t drain(std::chrono::steady_clock::time_point deadline);

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace zeta::server::grpc_api
