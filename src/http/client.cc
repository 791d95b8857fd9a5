#include "src/http/client.h"

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <exception>
#include <optional>

#include "src/base/concat.h"

namespace zeta::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using asio::use_awaitable;
using boost::system::error_code;
using boost::system::system_error;
using Parser = beast::http::response_parser<beast::http::buffer_body>;

constexpr size_t kPiece = 64 << 10;

// What a coroutine gives up with; becomes the status of ask().
struct Refused {
  absl::Status status;
};

beast::http::request<beast::http::string_body> to_message(const OutgoingRequest& request, const Url& server) {
  beast::http::request<beast::http::string_body> message;
  message.method_string(request.method);
  message.target(request.target);
  message.version(11);
  message.set(beast::http::field::host, server.authority());
  for (const auto& [name, value] : request.headers) message.set(name, value);
  message.body() = request.body;
  if (!request.body.empty() || request.method == "POST") message.prepare_payload();
  return message;
}

IncomingResponse to_response(const Parser& parser) {
  IncomingResponse response;
  response.status = static_cast<int>(parser.get().result_int());
  for (const auto& field : parser.get().base()) {
    std::string name(field.name_string());
    for (char& letter : name)
      letter = static_cast<char>(letter >= 'A' && letter <= 'Z' ? letter + 32 : letter);
    response.headers[name] = std::string(field.value());
  }
  return response;
}

asio::ssl::context make_tls() {
  asio::ssl::context context(asio::ssl::context::tls_client);
  context.set_default_verify_paths();
  context.set_verify_mode(asio::ssl::verify_peer);
  SSL_CTX_set_min_proto_version(context.native_handle(), TLS1_2_VERSION);
  return context;
}

}  // namespace

class Client::Connection {
 public:
  Connection(const Url& server, const ClientLimits& limits)
      : server_(server), limits_(limits), plain_(context_) {
    if (server.tls) {
      tls_context_.emplace(make_tls());
      tls_.emplace(plain_, *tls_context_);
    }
  }

  void open() { run(connect()); }
  // Whether it may be used again is in reusable().
  IncomingResponse exchange(const OutgoingRequest& request, const TakeBody& take) {
    reusable_ = false;
    IncomingResponse response;
    run(tls_ ? exchange_over(*tls_, request, take, response)
             : exchange_over(plain_, request, take, response));
    return response;
  }
  bool reusable() const { return reusable_; }
  bool answered() const { return answered_; }  // a byte of the last answer has come

 private:
  void run(asio::awaitable<void> work) {
    std::exception_ptr failure;
    asio::co_spawn(context_, std::move(work),
                   [&](std::exception_ptr thrown) { failure = std::move(thrown); });
    context_.restart();
    context_.run();
    if (failure) std::rethrow_exception(failure);
  }

  asio::awaitable<void> connect() {
    asio::ip::tcp::resolver resolver(context_);
    const auto found = co_await resolver.async_resolve(server_.host, concat(server_.port), use_awaitable);
    plain_.expires_after(limits_.connect);
    co_await plain_.async_connect(found, use_awaitable);
    plain_.socket().set_option(asio::ip::tcp::no_delay(true));
    if (!tls_) co_return;
    error_code is_name;
    asio::ip::make_address(server_.host, is_name);
    if (is_name) SSL_set_tlsext_host_name(tls_->native_handle(), server_.host.c_str());
    tls_->set_verify_callback(asio::ssl::host_name_verification(server_.host));
    co_await tls_->async_handshake(asio::ssl::stream_base::client, use_awaitable);
  }

  template <class Stream>
  asio::awaitable<void> exchange_over(Stream& stream, const OutgoingRequest& request, const TakeBody& take,
                                      IncomingResponse& response) {
    answered_ = false;
    const auto message = to_message(request, server_);
    plain_.expires_after(limits_.silence);
    co_await beast::http::async_write(stream, message, use_awaitable);
    Parser parser;
    parser.body_limit(boost::none);
    parser.skip(request.method == "HEAD");
    plain_.expires_after(limits_.silence);
    co_await beast::http::async_read_header(stream, buffer_, parser, use_awaitable);
    answered_ = true;
    response = to_response(parser);
    const bool taken = take && response.status >= 200 && response.status < 300;
    std::array<char, kPiece> piece;
    while (!parser.is_done()) {
      parser.get().body().data = piece.data();
      parser.get().body().size = piece.size();
      plain_.expires_after(limits_.silence);
      error_code error;
      co_await beast::http::async_read(stream, buffer_, parser, asio::redirect_error(use_awaitable, error));
      if (error && error != beast::http::error::need_buffer) throw system_error(error);
      const std::string_view text(piece.data(), piece.size() - parser.get().body().size);
      keep(text, taken ? take : nullptr, response);
    }
    reusable_ = parser.keep_alive();
  }

  void keep(std::string_view text, const TakeBody& take, IncomingResponse& response) const {
    if (take) {
      if (absl::Status status = take(text); !status.ok()) throw Refused{std::move(status)};
      return;
    }
    if (response.body.size() + text.size() > limits_.body_bytes) {
      throw Refused{absl::ResourceExhaustedError(
          concat("the answer of ", server_.authority(), " exceeds ", limits_.body_bytes, " bytes"))};
    }
    response.body += text;
  }

  const Url& server_;
  const ClientLimits& limits_;
  asio::io_context context_{1};
  beast::tcp_stream plain_;
  std::optional<asio::ssl::context> tls_context_;
  std::optional<asio::ssl::stream<beast::tcp_stream&>> tls_;
  beast::flat_buffer buffer_;
  bool reusable_ = false, answered_ = false;
};

Client::Client(Url server, ClientLimits limits) : server_(std::move(server)), limits_(limits) {}
Client::~Client() = default;

absl::StatusOr<IncomingResponse> Client::ask(const OutgoingRequest& request, const TakeBody& take) {
  while (true) {
    const bool kept = connection_ != nullptr;  // the server may have closed it meanwhile: then once more
    try {
      if (!kept) {
        connection_ = std::make_unique<Connection>(server_, limits_);
        connection_->open();
      }
      IncomingResponse response = connection_->exchange(request, take);
      if (!connection_->reusable()) connection_.reset();
      return response;
    } catch (const Refused& refused) {
      connection_.reset();
      return refused.status;
    } catch (const system_error& error) {
      const bool again = kept && !connection_->answered() && error.code() != beast::error::timeout;
      connection_.reset();
      if (again) continue;
      const std::string message = concat("cannot ask ", server_.authority(), ": ", error.code().message());
      if (error.code() == beast::error::timeout) return absl::DeadlineExceededError(message);
      return absl::UnavailableError(message);
    }
  }
}

}  // namespace zeta::http
