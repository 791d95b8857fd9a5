// One listening port.
#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <memory>
#include <string>

#include "src/http/server.h"

namespace zeta::http {

// Runs on the thread of `context`.
class Acceptor : public std::enable_shared_from_this<Acceptor> {
 public:
  // Throws std::runtime_error when the address cannot be had.
  Acceptor(Server& server, asio::io_context& context, const std::string& address, uint16_t port,
           std::shared_ptr<const Service> service);

  uint16_t port() const { return acceptor_.local_endpoint().port(); }
  void start();
  // Takes over the connections that the kernel has already completed, then closes the port. Any thread; waits
  // for the port to be closed.
  void stop();

 private:
  asio::awaitable<void> run();
  void take_backlog();
  void hand_over(Worker& worker, asio::ip::tcp::socket socket);

  Server& server_;
  asio::io_context& context_;
  asio::ip::tcp::acceptor acceptor_;
  std::shared_ptr<const Service> service_;
  // Of this port alone, so that those who come to one do not keep others from another. Outlives the acceptor.
  const std::shared_ptr<std::atomic<size_t>> connections_ = std::make_shared<std::atomic<size_t>>(0);
};

}  // namespace zeta::http
