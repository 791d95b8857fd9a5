// Any bytes, as what a client sends on one connection.
//
// Whatever comes in, nothing may crash or hang; limits hold; and requests do not depend on how the network
// cut the bytes: whole, and in pieces of as many bytes as the first byte says, the same ones come out. Which
// of several faults of a request is noticed first may differ.
#include <sys/socket.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "src/base/json_string.h"
#include "src/http/request_reader.h"
#include "tests/fuzz/check.h"

namespace zeta::http {
namespace {

using Socket = RequestReader::Socket;

constexpr Limits small_limits() {
  Limits limits;
  limits.header_bytes = 256;
  limits.body_bytes = 256;
  return limits;
}
constexpr Limits kLimits = small_limits();

asio::awaitable<void> send(Socket& socket, std::string_view bytes, size_t piece) {
  boost::system::error_code error;
  while (!bytes.empty() && !error) {
    const std::string_view next = bytes.substr(0, piece);
    co_await asio::async_write(socket, asio::buffer(next), asio::redirect_error(asio::use_awaitable, error));
    bytes.remove_prefix(next.size());
    co_await asio::post(asio::use_awaitable);  // the reader's turn
  }
  socket.shutdown(Socket::shutdown_send, error);
}

std::string describe(Request request) {
  std::string decoded;
  if (percent_decode(request.path, decoded)) check(is_utf8(decoded), "a path that is not UTF-8");
  check(request.path.find('?') == std::string::npos, "the query is part of the path");
  check(request.body.size() <= kLimits.body_bytes, "a body beyond the limit");
  return request.method + ' ' + request.path + '?' + request.query + '\n' + request.body;
}

asio::awaitable<void> receive(Socket& socket, std::vector<std::string>& received) {
  IoDeadline deadline;
  RequestReader reader(socket, deadline, kLimits);
  while (true) {
    const ReadResult result = co_await reader.read(std::chrono::seconds(1));
    if (result.kind == ReadResult::Kind::kRequest) {
      received.push_back(describe(reader.take()));
      continue;
    }
    if (result.kind == ReadResult::Kind::kRefused) {
      check(reason_phrase(result.status) != "Unknown" && result.status >= 400, "a status that is none");
      received.emplace_back("refused");
    }
    break;
  }
  boost::system::error_code ignored;
  socket.close(ignored);
}

std::vector<std::string> read_requests(std::string_view bytes, size_t piece) {
  int ends[2];
  check(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0, "no socket");
  asio::io_context context(1);
  // The kind of socket matters to nobody behind read and write.
  Socket client(context, asio::ip::tcp::v4(), ends[0]), server(context, asio::ip::tcp::v4(), ends[1]);
  std::vector<std::string> received;
  asio::co_spawn(context, send(client, bytes, piece), asio::detached);
  asio::co_spawn(context, receive(server, received), asio::detached);
  context.run();
  return received;
}

}  // namespace
}  // namespace zeta::http

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0 || data[0] == 0) return -1;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto whole = zeta::http::read_requests(bytes, bytes.size());
  const auto pieces = zeta::http::read_requests(bytes, data[0]);
  zeta::check(whole == pieces, "requests depend on how the bytes were cut");
  return 0;
}
