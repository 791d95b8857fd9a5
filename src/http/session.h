// One client connection.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <memory>
#include <string>

#include "src/http/client_watch.h"
#include "src/http/io_deadline.h"
#include "src/http/message.h"
#include "src/http/request_reader.h"
#include "src/http/response_writer.h"
#include "src/http/service.h"

namespace zeta::http {

// Lives on one worker's thread and is touched by no other, hence no locks. Requests are answered one after
// another in the order they came, so that pipelining is safe.
class Session final : public Connection, public std::enable_shared_from_this<Session> {
 public:
  // With `overloaded` the connection is closed after its first request, which only a WhenFull::kAnswer route
  // answers; any other gets 503.
  Session(asio::ip::tcp::socket socket, std::shared_ptr<const Service> service, bool overloaded);

  // Serves until the connection is to be closed. Throws what a handler's stream throws.
  asio::awaitable<void> run();
  // To be called when run() has ended, however it did.
  void close();

  // Cancels what has passed its deadline; called by the worker now and then.
  void sweep(IoDeadline::Clock::time_point now);
  // Lets the current request finish, then closes. A connection that waits for a request gets a moment for
  // one that is already on its way.
  void begin_drain();
  // Abandons the current request and closes.
  void abort();

  asio::any_io_executor executor() override { return socket_.get_executor(); }
  std::string peer() const override;
  std::string_view header(std::string_view name) const override { return reader_.header(name); }
  void for_each_header(const HeaderVisitor& visit) const override { reader_.for_each_header(visit); }
  void on_abandon(std::function<void(Abandonment)> callback) override;

 private:
  using Clock = IoDeadline::Clock;

  // Each returns whether the connection goes on.
  asio::awaitable<bool> serve_one();
  asio::awaitable<bool> refuse(const ReadResult& refusal);
  asio::awaitable<bool> answer(Request& request);

  asio::awaitable<Response> dispatch(Request& request);
  asio::awaitable<void> close_after_reading();
  Clock::duration idle_timeout() const;
  void log_request(const Request& request, int status, Clock::time_point start) const;

  asio::ip::tcp::socket socket_;
  std::shared_ptr<const Service> service_;
  const bool overloaded_;
  bool draining_ = false;
  IoDeadline io_deadline_;
  Clock::time_point request_deadline_ = Clock::time_point::max();
  RequestReader reader_;
  ResponseWriter writer_;
  ClientWatch watch_;
};

}  // namespace zeta::http
