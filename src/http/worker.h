// A thread with its own event loop and the connections that live on it.
#pragma once

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <thread>
#include <unordered_set>

#include "src/http/service.h"
#include "src/http/session.h"

namespace zeta::http {

class Worker {
 public:
  Worker();
  ~Worker();  // joins; connections that are left are dropped

  boost::asio::io_context& context() { return context_; }

  // The following may be called from any thread and return at once. `socket` is of this worker's context;
  // `on_close` is called on the worker's thread after the connection's end.
  void adopt(asio::ip::tcp::socket socket, std::shared_ptr<const Service> service, bool overloaded,
             std::function<void()> on_close);
  void begin_drain();
  void abort();

 private:
  void start_session(const std::shared_ptr<Session>& session, std::function<void()> on_close);
  void schedule_sweep();

  // Used on the worker's thread only.
  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  boost::asio::steady_timer sweep_timer_;
  std::unordered_set<std::shared_ptr<Session>> sessions_;
  bool draining_ = false;
  std::thread thread_;
};

}  // namespace zeta::http
