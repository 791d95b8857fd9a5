// Puts answers on the wire: whole with Content-Length, or piece by piece in chunks.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/system/error_code.hpp>
#include <string>
#include <string_view>

#include "src/http/io_deadline.h"
#include "src/http/limits.h"
#include "src/http/message.h"

namespace zeta::http {

// How one answer is framed.
struct Framing {
  std::string_view request_id;
  bool keep_alive = true;
  bool head = false;    // answer to HEAD: no body
  bool chunked = true;  // false for HTTP/1.0: a stream ends with the connection
};

class ResponseWriter {
 public:
  using Socket = asio::ip::tcp::socket;
  ResponseWriter(Socket& socket, IoDeadline& deadline, const Limits& limits);

  // Each returns an error when the client did not take everything.
  asio::awaitable<boost::system::error_code> write(const Response& response, const Framing& framing);
  // Writes pieces until response.stream ends, asking for each only once the one before was taken.
  asio::awaitable<boost::system::error_code> stream(const Response& response, const Framing& framing);

  // Of the answer written last, without its head.
  size_t body_bytes() const { return body_bytes_; }

 private:
  // All go out together.
  asio::awaitable<boost::system::error_code> send(std::string_view first, std::string_view second,
                                                  const std::vector<BodyPiece>& tail = {});

  Socket& socket_;
  IoDeadline& deadline_;
  const Limits& limits_;
  size_t body_bytes_ = 0;
};

}  // namespace zeta::http
