#include "src/http/session.h"

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <utility>

#include "src/base/log.h"
#include "src/base/request_id.h"

namespace zeta::http {
namespace {

using boost::system::error_code;

constexpr std::chrono::milliseconds kDrainGrace{250};
constexpr std::chrono::seconds kOverloadGrace{1};  // for the first byte: such connections are few
constexpr std::chrono::seconds kLinger{1};
constexpr size_t kLingerBytes = 1 << 20;

}  // namespace

Session::Session(asio::ip::tcp::socket socket, std::shared_ptr<const Service> service, bool overloaded)
    : socket_(std::move(socket)),
      service_(std::move(service)),
      overloaded_(overloaded),
      reader_(socket_, io_deadline_, service_->limits),
      writer_(socket_, io_deadline_, service_->limits),
      watch_(socket_, reader_.buffer()) {
  error_code ignored;
  socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
}

asio::awaitable<void> Session::run() {
  const auto self = shared_from_this();
  while (co_await serve_one()) {
  }
}

void Session::close() {
  watch_.stop();
  error_code ignored;
  socket_.close(ignored);
}

asio::awaitable<bool> Session::serve_one() {
  const ReadResult result = co_await reader_.read(idle_timeout());
  if (result.kind == ReadResult::Kind::kClosed) co_return false;
  if (result.kind == ReadResult::Kind::kRefused) co_return co_await refuse(result);
  Request request = reader_.take();
  request.connection = this;
  request.begun = reader_.begun();
  const std::string_view id = header("X-Request-Id");
  request.id = is_valid_request_id(id) ? std::string(id) : make_request_id();
  co_return co_await answer(request);
}

asio::awaitable<bool> Session::refuse(const ReadResult& refusal) {
  const Response response = service_->error(reader_.path(), refusal.status, refusal.message);
  Framing framing;
  framing.keep_alive = false;
  const error_code error = co_await writer_.write(response, framing);
  log::verbose("request refused", {{"status", refusal.status}, {"reason", refusal.message}});
  if (!error) co_await close_after_reading();
  co_return false;
}

asio::awaitable<bool> Session::answer(Request& request) {
  const auto start = Clock::now();
  request.arrived = start;
  if (service_->limits.request_timeout.count() > 0) {
    request_deadline_ = start + service_->limits.request_timeout;
  }
  const Response response = co_await dispatch(request);
  Framing framing;
  framing.request_id = request.id;
  framing.head = request.method == "HEAD";
  framing.chunked = !reader_.http_1_0();
  const bool streams = response.stream && !framing.head;
  framing.keep_alive = reader_.keep_alive() && !draining_ && !overloaded_ && (!streams || framing.chunked);
  const auto sending = Clock::now();
  error_code error;
  if (streams) {
    error = co_await writer_.stream(response, framing);
  } else {
    error = co_await writer_.write(response, framing);
  }
  if (error) watch_.abandon(Abandonment::kClientGone);
  watch_.stop();
  if (response.on_sent) response.on_sent(sending);
  request_deadline_ = Clock::time_point::max();
  log_request(request, response.status, start);
  co_return !error && framing.keep_alive;
}

asio::awaitable<Response> Session::dispatch(Request& request) {
  Router::Match match = service_->router.match(request);
  if (overloaded_ && match.when_full != WhenFull::kAnswer) {
    co_return service_->error(request.path, 503,
                              "the server has all of its " + std::to_string(service_->limits.connections) +
                                  " connections in use (--max-connections)");
  }
  if (match.handler == nullptr) {
    Response response = service_->error(request.path, match.status, match.message);
    if (!match.allow.empty()) response.headers.emplace_back("Allow", match.allow);
    co_return response;
  }
  try {
    co_return co_await (*match.handler)(request);
  } catch (const std::exception& failure) {
    log::error("request handler failed",
               {{"id", request.id}, {"path", request.path}, {"reason", failure.what()}});
    co_return service_->error(request.path, 500,
                              "internal error; the server's log has request " + request.id);
  }
}

// Closing with unread bytes would reset the connection, and the client might never see the answer.
asio::awaitable<void> Session::close_after_reading() {
  error_code error;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, error);
  io_deadline_.arm(kLinger);
  std::array<char, 4096> discarded;
  for (size_t total = 0; !error && total < kLingerBytes;) {
    total += co_await socket_.async_read_some(asio::buffer(discarded),
                                              asio::redirect_error(asio::use_awaitable, error));
  }
  io_deadline_.disarm();
}

void Session::sweep(Clock::time_point now) {
  error_code ignored;
  if (io_deadline_.expire(now)) socket_.cancel(ignored);
  if (now >= request_deadline_) {
    request_deadline_ = Clock::time_point::max();
    watch_.abandon(Abandonment::kDeadline);
  }
}

void Session::begin_drain() {
  draining_ = true;
  if (reader_.idle()) io_deadline_.shorten(Clock::now() + kDrainGrace);
}

void Session::abort() {
  const auto self = shared_from_this();
  watch_.abandon(Abandonment::kShutdown);
  io_deadline_.shorten(Clock::now() + kDrainGrace);
  draining_ = true;
  error_code ignored;
  if (reader_.idle()) socket_.cancel(ignored);
}

std::string Session::peer() const {
  error_code error;
  const auto endpoint = socket_.remote_endpoint(error);
  return error ? "" : endpoint.address().to_string();
}

void Session::on_abandon(std::function<void(Abandonment)> callback) {
  watch_.start(std::move(callback), shared_from_this());
}

Session::Clock::duration Session::idle_timeout() const {
  if (draining_) return kDrainGrace;
  const Clock::duration patience = service_->limits.idle_timeout;
  return overloaded_ ? std::min<Clock::duration>(patience, kOverloadGrace) : patience;
}

void Session::log_request(const Request& request, int status, Clock::time_point start) const {
  const log::Level level = status >= 500 ? log::Level::kWarning : log::Level::kVerbose;
  if (!log::enabled(level)) return;
  const std::chrono::duration<double, std::milli> elapsed = Clock::now() - start;
  log::write(level, "request",
             {{"id", request.id},
              {"method", request.method},
              {"path", request.path},
              {"status", status},
              {"bytes", writer_.body_bytes()},
              {"ms", elapsed.count()}});
}

}  // namespace zeta::http
