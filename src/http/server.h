// Listening ports, and the threads that serve what connects to them.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "src/base/mutex.h"
#include "src/http/service.h"

namespace zeta::http {

class Acceptor;
class Worker;

// Connections are dealt to the threads in turn and stay there. Methods may be called from any thread but one
// after another.
class Server {
 public:
  explicit Server(size_t threads);
  // Drops what is still connected: drain() first.
  ~Server();

  // Starts to serve on `address`:`port`; port 0 takes a free one. Returns the port. Throws std::runtime_error
  // that says address, port and reason when they cannot be had.
  uint16_t listen(const std::string& address, uint16_t port, std::shared_ptr<const Service> service);

  // Accepts no more, except what had connected already, and waits for the requests that are under way. At
  // `deadline` those left are abandoned. Returns how many connections that were.
  size_t drain(std::chrono::steady_clock::time_point deadline) ZETA_EXCLUDES(mutex_);

  size_t connections() const { return connections_.load(std::memory_order_relaxed); }

 private:
  friend class Acceptor;

  Worker& next_worker();
  void connection_opened();
  void connection_closed() ZETA_EXCLUDES(mutex_);
  // False when `deadline` passed first.
  bool wait_until_empty(std::chrono::steady_clock::time_point deadline) ZETA_EXCLUDES(mutex_);

  std::atomic<size_t> connections_{0};
  std::atomic<size_t> turn_{0};
  Mutex mutex_;
  CondVar closed_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::shared_ptr<Acceptor>> acceptors_;
};

}  // namespace zeta::http
