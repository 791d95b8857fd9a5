#include "src/http/request_reader.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/error.hpp>
#include <utility>

#include "src/http/content_coding.h"

namespace zeta::http {
namespace {

namespace beast = boost::beast;
using boost::system::error_code;
using Kind = ReadResult::Kind;

constexpr size_t kHeaderRead = 4 << 10;
constexpr size_t kBodyRead = 64 << 10;

ReadResult refuse(int status, std::string message) { return {Kind::kRefused, status, std::move(message)}; }

// The path and query of a request target in origin or absolute form (RFC 9112, 3.2).
std::string_view without_authority(std::string_view target) {
  const size_t scheme = target.find("://");
  if (target.starts_with('/') || scheme == std::string_view::npos) return target;
  const size_t path = target.find('/', scheme + 3);
  return path == std::string_view::npos ? "/" : target.substr(path);
}

}  // namespace

RequestReader::RequestReader(Socket& socket, IoDeadline& deadline, const Limits& limits)
    : socket_(socket), deadline_(deadline), limits_(limits) {}

asio::awaitable<error_code> RequestReader::fill(size_t bytes) {
  error_code error;
  const size_t count = co_await socket_.async_read_some(buffer_.prepare(bytes),
                                                        asio::redirect_error(asio::use_awaitable, error));
  buffer_.commit(count);
  co_return error;
}

asio::awaitable<ReadResult> RequestReader::read(IoDeadline::Clock::duration idle_timeout) {
  parser_ = std::make_unique<Parser>();
  parser_->header_limit(static_cast<uint32_t>(limits_.header_bytes));
  parser_->body_limit(limits_.body_bytes);
  if (buffer_.size() == 0) {
    buffer_.shrink_to_fit();
    idle_ = true;
    deadline_.arm(idle_timeout);
    const error_code error = co_await fill(kHeaderRead);
    idle_ = false;
    if (error) co_return ReadResult{Kind::kClosed, 0, ""};
  }
  begun_ = IoDeadline::Clock::now();
  deadline_.arm(limits_.read_timeout);
  ReadResult result = co_await read_header();
  if (result.kind == Kind::kRequest) result = co_await read_body();
  if (result.kind == Kind::kRequest) result = decode_body();
  deadline_.disarm();
  co_return result;
}

asio::awaitable<ReadResult> RequestReader::read_header() {
  parser_->eager(false);
  while (true) {
    error_code error;
    buffer_.consume(parser_->put(buffer_.data(), error));
    if (error == beast::http::error::need_more) error = {};
    if (error) co_return failure(error);
    if (parser_->is_header_done()) break;
    error = co_await fill(kHeaderRead);
    if (error) co_return failure(error);
  }
  co_return check_header().value_or(ReadResult{});
}

std::optional<ReadResult> RequestReader::check_header() const {
  const auto& request = parser_->get();
  if (request.version() == 11 && request.count(beast::http::field::host) != 1) {
    return refuse(400, "expected exactly one Host header");
  }
  const std::string_view transfer = header("Transfer-Encoding");
  if (!transfer.empty() && !beast::iequals(transfer, "chunked")) {
    return refuse(501, "Transfer-Encoding '" + std::string(transfer) + "' is not supported; send chunked");
  }
  const std::string_view encoding = header("Content-Encoding");
  if (!parse_coding(encoding)) {
    return refuse(415, "Content-Encoding '" + std::string(encoding) +
                           "' is not supported; send gzip, deflate or identity");
  }
  return std::nullopt;
}

asio::awaitable<ReadResult> RequestReader::read_body() {
  if (!parser_->is_done() && beast::iequals(header("Expect"), "100-continue")) {
    static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    error_code error;
    co_await asio::async_write(socket_, asio::buffer(kContinue),
                               asio::redirect_error(asio::use_awaitable, error));
    if (error) co_return ReadResult{Kind::kClosed, 0, ""};
  }
  parser_->eager(true);
  while (!parser_->is_done()) {
    error_code error;
    if (buffer_.size() == 0) error = co_await fill(kBodyRead);
    while (!error && !parser_->is_done() && buffer_.size() != 0) {
      const size_t used = parser_->put(buffer_.data(), error);
      buffer_.consume(used);
      deadline_.extend(std::chrono::microseconds(used * 1'000'000 / Limits::min_rate));
      if (error != beast::http::error::need_more) continue;
      error = co_await fill(kHeaderRead);  // a chunk header that is cut in two
    }
    if (error) co_return failure(error);
  }
  co_return ReadResult{};
}

ReadResult RequestReader::decode_body() {
  std::string& body = parser_->get().body();
  if (body.empty() || parse_coding(header("Content-Encoding")) == Coding::kIdentity) return {};
  switch (inflate_body(body, limits_.body_bytes)) {
    case Inflation::kDone:
      return {};
    case Inflation::kTooLarge:
      return too_large();
    case Inflation::kDamaged:
      break;
  }
  return refuse(400, "the request body is damaged: it is no " + std::string(header("Content-Encoding")));
}

ReadResult RequestReader::too_large() const {
  return refuse(
      413, "request body exceeds " + std::to_string(limits_.body_bytes) + " bytes (--http-max-input-size)");
}

ReadResult RequestReader::failure(error_code error) const {
  if (deadline_.expired()) return refuse(408, "the request did not arrive in time");
  if (error == asio::error::eof) return refuse(400, "the request ended before it was complete");
  if (error.category() != beast::http::make_error_code(beast::http::error::need_more).category()) {
    return {Kind::kClosed, 0, ""};
  }
  if (error == beast::http::error::header_limit) {
    return refuse(431, "request headers exceed " + std::to_string(limits_.header_bytes) + " bytes");
  }
  if (error == beast::http::error::body_limit) return too_large();
  if (error == beast::http::error::bad_version) return refuse(505, "HTTP/1.0 and HTTP/1.1 are supported");
  return refuse(400, "malformed HTTP request: " + error.message());
}

std::string_view RequestReader::path() const {
  const std::string_view target = without_authority(parser_->get().target());
  return target.substr(0, target.find('?'));
}

Request RequestReader::take() {
  auto& message = parser_->get();
  Request request;
  request.method = std::string(message.method_string());
  request.path = path();
  const std::string_view target = message.target();
  const size_t question = target.find('?');
  if (question != std::string_view::npos) request.query = target.substr(question + 1);
  request.body = std::move(message.body());
  return request;
}

std::string_view RequestReader::header(std::string_view name) const { return parser_->get()[name]; }
void RequestReader::for_each_header(const Connection::HeaderVisitor& visit) const {
  for (const auto& field : parser_->get()) visit(field.name_string(), field.value());
}
bool RequestReader::keep_alive() const { return parser_->get().keep_alive(); }
bool RequestReader::http_1_0() const { return parser_->get().version() < 11; }

}  // namespace zeta::http
