// Reads requests off a connection, one after another, within the limits.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "src/http/io_deadline.h"
#include "src/http/limits.h"
#include "src/http/message.h"

namespace zeta::http {

struct ReadResult {
  enum class Kind { kRequest, kClosed, kRefused };
  Kind kind = Kind::kRequest;
  int status = 0;       // of a refusal
  std::string message;  // of a refusal
};

class RequestReader {
 public:
  using Socket = asio::ip::tcp::socket;
  RequestReader(Socket& socket, IoDeadline& deadline, const Limits& limits);

  // Waits for a first byte for at most `idle_timeout`.
  asio::awaitable<ReadResult> read(IoDeadline::Clock::duration idle_timeout);

  // Of the request read last: moves it out; its headers stay here until the next read().
  Request take();
  std::string_view path() const;  // "" when the request was refused before its first line was complete
  std::string_view header(std::string_view name) const;
  void for_each_header(const Connection::HeaderVisitor& visit) const;
  bool keep_alive() const;
  bool http_1_0() const;
  IoDeadline::Clock::time_point begun() const { return begun_; }  // when its first byte was there

  // Waiting for the first byte of a request.
  bool idle() const { return idle_; }
  // What the client sent beyond the current request.
  boost::beast::flat_buffer& buffer() { return buffer_; }

 private:
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

  asio::awaitable<ReadResult> read_header();
  asio::awaitable<ReadResult> read_body();
  // Undoes Content-Encoding.
  ReadResult decode_body();
  ReadResult too_large() const;
  std::optional<ReadResult> check_header() const;
  asio::awaitable<boost::system::error_code> fill(size_t bytes);
  ReadResult failure(boost::system::error_code error) const;

  Socket& socket_;
  IoDeadline& deadline_;
  const Limits& limits_;
  boost::beast::flat_buffer buffer_;
  std::unique_ptr<Parser> parser_ = std::make_unique<Parser>();  // a new one for each request
  bool idle_ = false;
  IoDeadline::Clock::time_point begun_{};
};

}  // namespace zeta::http
