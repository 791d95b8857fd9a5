// Asks another HTTP server: a collector of traces, an object store.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace zeta::http {

struct Url {
  bool tls = false;
  std::string host;  // without brackets
  uint16_t port = 0;
  std::string path;  // as written, begins with '/'; without a query

  // HOST or HOST:PORT, as in a Host header: without the port that the scheme implies.
  std::string authority() const;
};

// Of http:// and https:// only. InvalidArgument says what is wrong.
absl::StatusOr<Url> parse_url(std::string_view text);

struct OutgoingRequest {
  std::string method;
  std::string target;  // path and query, percent-encoded
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body{};
};

struct IncomingResponse {
  int status = 0;
  std::map<std::string, std::string, std::less<>> headers;  // by name in lower case
  std::string body;
};

struct ClientLimits {
  std::chrono::milliseconds connect{5'000};
  std::chrono::milliseconds silence{30'000};  // until something is sent or received
  size_t body_bytes = 16 << 20;               // of an answer kept in memory
};

// One connection, kept while the server allows. Blocks; not thread-safe. TLS checks the server's certificate
// against the system's authorities, or those that the environment variable SSL_CERT_FILE names.
class Client {
 public:
  // Takes the body of an answer with a status of 2xx piece by piece; a status other than OK ends it.
  using TakeBody = std::function<absl::Status(std::string_view piece)>;

  // Of `server` host, port and scheme are used.
  explicit Client(Url server, ClientLimits limits = {});
  ~Client();

  // Any answer is OK, whatever its status. Unavailable: the server cannot be reached or the connection broke;
  // DeadlineExceeded: it was silent for too long; ResourceExhausted: the body is too large. Without `take`
  // the body is in the answer.
  absl::StatusOr<IncomingResponse> ask(const OutgoingRequest& request, const TakeBody& take = nullptr);

 private:
  class Connection;

  const Url server_;
  const ClientLimits limits_;
  std::unique_ptr<Connection> connection_;
};

}  // namespace zeta::http
