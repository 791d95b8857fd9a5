// Notices that the client has gone while its answer is being made.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <functional>
#include <memory>

#include "src/http/message.h"

namespace zeta::http {

// HTTP has no message for "never mind": a client that gives up closes its connection. So while a handler
// works, this waits for the socket to become readable. End of stream means gone; bytes are the beginning of a
// pipelined request and go to the reader's buffer. A client that only closed its sending half looks the same
// and is taken for gone, as in most servers.
//
// Used on the connection's thread only.
class ClientWatch {
 public:
  using Socket = asio::ip::tcp::socket;
  using Callback = std::function<void(Abandonment)>;
  ClientWatch(Socket& socket, boost::beast::flat_buffer& buffer) : socket_(socket), buffer_(buffer) {}

  // `owner` keeps the socket and this object alive while the wait is under way.
  void start(Callback callback, const std::shared_ptr<void>& owner);
  void stop() { callback_ = nullptr; }
  // Calls the callback if it was not called yet.
  void abandon(Abandonment why);

 private:
  void wait(const std::shared_ptr<void>& owner);
  // False when there is nothing more to wait for.
  bool look();

  Socket& socket_;
  boost::beast::flat_buffer& buffer_;
  Callback callback_;
  bool waiting_ = false;
};

}  // namespace zeta::http
