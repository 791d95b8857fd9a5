#include "src/http/response_writer.h"

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <charconv>
#include <ctime>

namespace zeta::http {
namespace {

using boost::system::error_code;

constexpr std::string_view kLastChunk = "0\r\n\r\n";

// The Date header's value (RFC 9110, 5.6.7), made once a second.
std::string_view http_date() {
  thread_local std::time_t made_at = -1;
  thread_local char text[32];
  thread_local size_t length = 0;
  const std::time_t now = std::time(nullptr);
  if (now != made_at) {
    std::tm parts{};
    gmtime_r(&now, &parts);
    length = std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
    made_at = now;
  }
  return {text, length};
}

void add_header(std::string& head, std::string_view name, std::string_view value) {
  head.append(name).append(": ").append(value).append("\r\n");
}

std::string start_head(const Response& response, const Framing& framing) {
  std::string head;
  head.reserve(256);
  head.append("HTTP/1.1 ").append(std::to_string(response.status)).append(" ");
  head.append(reason_phrase(response.status)).append("\r\n");
  add_header(head, "Date", http_date());
  if (!response.content_type.empty()) add_header(head, "Content-Type", response.content_type);
  for (const auto& [name, value] : response.headers) add_header(head, name, value);
  if (!framing.request_id.empty()) add_header(head, "X-Request-Id", framing.request_id);
  if (!framing.keep_alive) {
    add_header(head, "Connection", "close");
  } else if (!framing.chunked) {
    add_header(head, "Connection", "keep-alive");  // not the default in HTTP/1.0
  }
  return head;
}

std::string chunk_size_line(size_t size) {
  std::array<char, 20> digits;
  const auto end = std::to_chars(digits.begin(), digits.end(), size, 16).ptr;
  return std::string(digits.begin(), end) + "\r\n";
}

}  // namespace

ResponseWriter::ResponseWriter(Socket& socket, IoDeadline& deadline, const Limits& limits)
    : socket_(socket), deadline_(deadline), limits_(limits) {}

asio::awaitable<error_code> ResponseWriter::send(std::string_view first, std::string_view second,
                                                 const std::vector<BodyPiece>& tail) {
  std::vector<asio::const_buffer> buffers{asio::buffer(first), asio::buffer(second)};
  for (const BodyPiece& piece : tail) buffers.push_back(asio::buffer(piece.bytes));
  const size_t bytes = asio::buffer_size(buffers);
  deadline_.arm(limits_.write_timeout + std::chrono::seconds(bytes / Limits::min_rate));
  error_code error;
  co_await asio::async_write(socket_, buffers, asio::redirect_error(asio::use_awaitable, error));
  deadline_.disarm();
  co_return error;
}

asio::awaitable<error_code> ResponseWriter::write(const Response& response, const Framing& framing) {
  size_t size = response.body.size();
  for (const BodyPiece& piece : response.tail) size += piece.bytes.size();
  std::string head = start_head(response, framing);
  add_header(head, "Content-Length", std::to_string(size));
  head += "\r\n";
  body_bytes_ = framing.head ? 0 : size;
  if (framing.head) co_return co_await send(head, "");
  co_return co_await send(head, response.body, response.tail);
}

asio::awaitable<error_code> ResponseWriter::stream(const Response& response, const Framing& framing) {
  std::string before = start_head(response, framing);
  if (framing.chunked) add_header(before, "Transfer-Encoding", "chunked");
  before += "\r\n";
  body_bytes_ = 0;
  while (true) {
    std::string piece = co_await response.stream->next();
    if (piece.empty()) break;
    body_bytes_ += piece.size();
    if (framing.chunked) {
      before += chunk_size_line(piece.size());
      piece += "\r\n";
    }
    const error_code error = co_await send(before, piece);
    if (error) co_return error;
    before.clear();
  }
  if (framing.chunked) before += kLastChunk;
  co_return co_await send(before, "");
}

}  // namespace zeta::http
