// A request and its answer, as handlers see them.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace zeta::http {

namespace asio = boost::asio;

enum class Abandonment {
  kClientGone,  // disconnected, or closed its sending side before the answer was there
  kDeadline,    // Limits::request_timeout passed
  kShutdown,    // the server ends and cannot wait any longer
};

// What a handler may ask of the connection that its request came on. Use on the connection's executor only,
// which is where handlers run.
class Connection {
 public:
  virtual ~Connection() = default;
  virtual asio::any_io_executor executor() = 0;
  // The IP address of the other end; "" when it has gone.
  virtual std::string peer() const = 0;
  // Value of a header of the current request, "" if absent; names are matched without case.
  virtual std::string_view header(std::string_view name) const = 0;
  // All of them, in the order they came.
  using HeaderVisitor = std::function<void(std::string_view name, std::string_view value)>;
  virtual void for_each_header(const HeaderVisitor& visit) const = 0;
  // Registers what to do when the answer is no longer wanted, and starts to look for it. Called at most once,
  // on the executor, never from within this function, and not after the answer is complete. An answer that
  // the handler gives all the same is sent if the client can still read it.
  virtual void on_abandon(std::function<void(Abandonment)> callback) = 0;
};

struct Request {
  std::string method;
  std::string path;   // as sent, without the query
  std::string query;  // as sent, without '?'
  std::string body;
  std::string id;                                                // the client's X-Request-Id, or made up
  std::vector<std::pair<std::string, std::string>> path_params;  // percent-decoded, from the router
  Connection* connection = nullptr;
  std::chrono::steady_clock::time_point begun{}, arrived{};  // when its first and its last byte came

  // REQUIRES: the route's pattern has {name}.
  const std::string& path_param(std::string_view name) const;
  std::string_view header(std::string_view name) const { return connection->header(name); }
};

// The pieces of an answer whose length is not known beforehand.
class BodySource {
 public:
  virtual ~BodySource() = default;
  // The next piece; empty: the end. It is asked for only once the client has taken the one before.
  virtual asio::awaitable<std::string> next() = 0;
};

// Bytes that are sent from where they lie.
struct BodyPiece {
  std::string_view bytes;
  std::shared_ptr<const void> owner;  // of the bytes
};

struct Response {
  int status = 200;
  std::string body;
  std::vector<BodyPiece> tail;  // behind `body`
  std::string content_type = "application/json";
  std::vector<std::pair<std::string, std::string>> headers;
  std::unique_ptr<BodySource> stream;  // when set, `body` is not used
  // Called when it has been written, or the client could not be reached. Null: nobody asks.
  std::function<void(std::chrono::steady_clock::time_point begun)> on_sent{};
};

// "Not Found" for 404; "Unknown" for a status we never send.
std::string_view reason_phrase(int status);

// Undoes %XX. False when the result is not UTF-8, holds control characters, or an escape is malformed.
bool percent_decode(std::string_view text, std::string& decoded);

}  // namespace zeta::http
