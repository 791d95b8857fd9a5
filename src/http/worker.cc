#include "src/http/worker.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <exception>
#include <string>
#include <utility>

#include "src/base/log.h"

namespace zeta::http {
namespace {

constexpr std::chrono::milliseconds kSweepInterval{100};

std::string describe(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const std::exception& error) {
    return error.what();
  } catch (...) {
    return "unknown";
  }
}

}  // namespace

Worker::Worker() : work_(context_.get_executor()), sweep_timer_(context_) {
  schedule_sweep();
  thread_ = std::thread([this] { context_.run(); });
}

Worker::~Worker() {
  context_.stop();
  thread_.join();
}

void Worker::adopt(asio::ip::tcp::socket socket, std::shared_ptr<const Service> service, bool overloaded,
                   std::function<void()> on_close) {
  auto session = std::make_shared<Session>(std::move(socket), std::move(service), overloaded);
  asio::post(context_, [this, session = std::move(session), on_close = std::move(on_close)] {
    start_session(session, on_close);
  });
}

void Worker::start_session(const std::shared_ptr<Session>& session, std::function<void()> on_close) {
  sessions_.insert(session);
  if (draining_) session->begin_drain();
  Session& started = *session;
  auto end = [this, session, on_close = std::move(on_close)](const std::exception_ptr& failure) {
    if (failure) log::error("connection failed", {{"reason", describe(failure)}});
    session->close();
    sessions_.erase(session);
    on_close();
  };
  asio::co_spawn(context_, started.run(), std::move(end));
}

void Worker::begin_drain() {
  asio::post(context_, [this] {
    draining_ = true;
    for (const auto& session : sessions_) session->begin_drain();
  });
}

void Worker::abort() {
  asio::post(context_, [this] {
    for (const auto& session : sessions_) session->abort();
  });
}

void Worker::schedule_sweep() {
  sweep_timer_.expires_after(kSweepInterval);
  sweep_timer_.async_wait([this](boost::system::error_code error) {
    if (error) return;
    const auto now = IoDeadline::Clock::now();
    for (const auto& session : sessions_) session->sweep(now);
    schedule_sweep();
  });
}

}  // namespace zeta::http
