#include "src/http/acceptor.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <future>
#include <stdexcept>
#include <utility>

#include "src/base/log.h"
#include "src/http/worker.h"

namespace zeta::http {
namespace {

using asio::ip::tcp;
using boost::system::error_code;

constexpr std::chrono::milliseconds kPause{50};  // when no further connection can be taken
constexpr size_t kOverloadFactor = 2;            // beyond limit × this, clients wait in the kernel's queue

std::runtime_error cannot_listen(const std::string& address, uint16_t port, const std::string& reason) {
  return std::runtime_error("cannot listen on " + address + ":" + std::to_string(port) + ": " + reason);
}

}  // namespace

Acceptor::Acceptor(Server& server, asio::io_context& context, const std::string& address, uint16_t port,
                   std::shared_ptr<const Service> service)
    : server_(server), context_(context), acceptor_(context), service_(std::move(service)) {
  error_code error;
  const auto ip = asio::ip::make_address(address, error);
  if (error) throw cannot_listen(address, port, "not an IP address");
  const tcp::endpoint endpoint(ip, port);
  acceptor_.open(endpoint.protocol());
  // A restarted server gets its port back while old connections linger in TIME_WAIT.
  acceptor_.set_option(tcp::acceptor::reuse_address(true));
  acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
  if (error) throw cannot_listen(address, port, error.message());
}

void Acceptor::start() {
  asio::co_spawn(
      context_, [self = shared_from_this()] { return self->run(); }, asio::detached);
}

asio::awaitable<void> Acceptor::run() {
  asio::steady_timer pause(context_);
  while (acceptor_.is_open()) {
    error_code error;
    if (*connections_ >= service_->limits.connections * kOverloadFactor) {
      error = asio::error::no_descriptors;
    } else {
      Worker& worker = server_.next_worker();
      tcp::socket socket(worker.context());
      co_await acceptor_.async_accept(socket, asio::redirect_error(asio::use_awaitable, error));
      if (!error) hand_over(worker, std::move(socket));
    }
    if (!error || error == asio::error::operation_aborted) continue;
    log::warning("cannot take more connections for now",
                 {{"service", service_->name}, {"reason", error.message()}});
    pause.expires_after(kPause);
    co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
  }
}

void Acceptor::hand_over(Worker& worker, tcp::socket socket) {
  server_.connection_opened();
  const bool overloaded = ++*connections_ > service_->limits.connections;
  worker.adopt(std::move(socket), service_, overloaded, [&server = server_, open = connections_] {
    --*open;
    server.connection_closed();
  });
}

void Acceptor::stop() {
  std::promise<void> stopped;
  asio::post(context_, [&] {
    take_backlog();
    error_code ignored;
    acceptor_.close(ignored);
    // Behind an accept that completed just before and is still to be handed over.
    asio::post(context_, [&] { stopped.set_value(); });
  });
  stopped.get_future().wait();
}

void Acceptor::take_backlog() {
  error_code error;
  acceptor_.cancel(error);
  acceptor_.non_blocking(true, error);
  while (!error) {
    Worker& worker = server_.next_worker();
    tcp::socket socket(worker.context());
    acceptor_.accept(socket, error);
    if (!error) hand_over(worker, std::move(socket));
  }
}

}  // namespace zeta::http
