#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "src/http/server.h"
#include "tests/unit/http/client.h"

namespace zeta::http {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;

// `count` pieces of `size` bytes, and how many were asked for.
class Pieces final : public BodySource {
 public:
  Pieces(int count, size_t size, std::atomic<int>& made, std::atomic<bool>& destroyed)
      : count_(count), size_(size), made_(made), destroyed_(destroyed) {}
  ~Pieces() override { destroyed_ = true; }
  asio::awaitable<std::string> next() override {
    if (made_ == count_) co_return "";
    ++made_;
    co_return std::string(size_, 'p');
  }

 private:
  const int count_;
  const size_t size_;
  std::atomic<int>& made_;
  std::atomic<bool>& destroyed_;
};

// Fails after one piece.
class Broken final : public BodySource {
 public:
  asio::awaitable<std::string> next() override {
    if (std::exchange(begun_, true)) throw std::runtime_error("no more");
    co_return "piece";
  }

 private:
  bool begun_ = false;
};

struct StreamService {
  StreamService(int count, size_t size, std::chrono::milliseconds write_timeout = seconds(30)) {
    auto service = std::make_shared<Service>();
    service->limits.write_timeout = write_timeout;
    service->error = [](std::string_view, int, std::string_view) { return Response{}; };
    service->router.add("GET", "/stream", [=, this](Request&) -> asio::awaitable<Response> {
      Response response;
      response.stream = std::make_unique<Pieces>(count, size, made, destroyed);
      co_return response;
    });
    service->router.add("GET", "/broken", [](Request& request) -> asio::awaitable<Response> {
      request.connection->on_abandon([](Abandonment) {});
      Response response;
      response.stream = std::make_unique<Broken>();
      co_return response;
    });
    port = server.listen("127.0.0.1", 0, service);
  }
  std::atomic<int> made{0};
  std::atomic<bool> destroyed{false};
  Server server{1};
  uint16_t port = 0;
};

TEST(Stream, IsChunkedAndTheConnectionGoesOn) {
  StreamService test(2, 10);
  Client client(test.port);
  client.send(get("/stream"));
  const std::string answer = client.read_until("0\r\n\r\n");
  EXPECT_NE(answer.find("Transfer-Encoding: chunked\r\n"), std::string::npos) << answer;
  EXPECT_TRUE(answer.ends_with("\r\n\r\na\r\npppppppppp\r\na\r\npppppppppp\r\n0\r\n\r\n")) << answer;
  client.send(get("/stream"));
  EXPECT_TRUE(client.read_until("0\r\n\r\n").ends_with("0\r\n\r\n"));
}

TEST(Stream, EndsWithTheConnectionInHttp10) {
  StreamService test(2, 3);
  Client client(test.port);
  client.send("GET /stream HTTP/1.0\r\n\r\n");
  const std::string answer = client.read_all();
  EXPECT_TRUE(answer.ends_with("\r\n\r\npppppp")) << answer;
}

TEST(Stream, AsksForNoMoreThanTheClientTakes) {
  constexpr int kPieces = 1000;
  StreamService test(kPieces, 1 << 20);
  Client client(test.port);
  client.send(get("/stream"));
  client.read_until("\r\n");
  int before = -1;
  while (before != test.made) {
    before = test.made;
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  EXPECT_LT(test.made, kPieces / 2) << "the sockets' buffers hold a few megabytes";
}

TEST(Stream, AClientThatGoesEndsIt) {
  StreamService test(1 << 30, 1 << 16);
  Client client(test.port);
  client.send(get("/stream"));
  client.read_until("ppp");
  client.close();
  EXPECT_EQ(test.server.drain(steady_clock::now() + seconds(10)), 0u);
  EXPECT_TRUE(test.destroyed);
}

TEST(Stream, ASourceThatThrowsClosesTheConnection) {
  StreamService test(0, 0);
  Client client(test.port);
  const auto start = steady_clock::now();
  client.send(get("/broken"));
  const std::string answer = client.read_all();
  EXPECT_TRUE(answer.ends_with("\r\n\r\n5\r\npiece\r\n")) << answer;
  EXPECT_LT(steady_clock::now() - start, seconds(5)) << "closed, not given up by the client";
}

TEST(Stream, AClientThatStopsReadingIsDropped) {
  StreamService test(1 << 30, 1 << 20, std::chrono::milliseconds(100));
  Client client(test.port);
  client.send(get("/stream"));
  client.read_until("ppp");
  // The write timeout and what a megabyte earns at the least rate: 16 s would be too long for a test, but the
  // drain's deadline ends it all the same.
  EXPECT_EQ(test.server.drain(steady_clock::now() + seconds(1)), 1u);
  EXPECT_TRUE(test.destroyed);
}

}  // namespace
}  // namespace zeta::http
