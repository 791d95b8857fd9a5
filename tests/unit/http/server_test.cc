#include "src/http/server.h"

#include <gtest/gtest.h>

#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "src/base/concat.h"
#include "tests/unit/http/client.h"
#include "tests/unit/http/test_service.h"

namespace zeta::http {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;

std::string post(std::string_view body, std::string_view headers = "") {
  return "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
         std::string(headers) + "\r\n" + std::string(body);
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

TEST(Server, KeepsTheConnectionAndTheRequestId) {
  TestService test;
  Client client(test.port);
  client.send(post("one", "X-Request-Id: my-id\r\n"));
  const std::string first = client.read_until("one");
  EXPECT_TRUE(has(first, "HTTP/1.1 200 OK\r\n")) << first;
  EXPECT_TRUE(has(first, "X-Request-Id: my-id\r\n")) << first;
  client.send(post("two", "X-Request-Id: forged id\r\n"));
  EXPECT_FALSE(has(client.read_until("two"), "forged"));
}

TEST(Server, AnswersPipelinedRequestsInOrder) {
  TestService test;
  Client client(test.port);
  std::string requests, expected;
  for (int i = 0; i < 50; ++i) requests += post(concat("<", i, ">"));
  client.send(requests);
  for (int i = 0; i < 50; ++i) {
    const std::string body = concat("<", i, ">");
    ASSERT_TRUE(client.read_until(">").ends_with(body)) << i;
  }
}

TEST(Server, KeepsWhatIsPipelinedBehindASlowRequest) {
  TestService test;
  Client client(test.port);
  client.send(get("/slow"));
  test.wait_for_slow();
  client.send(post("next"));
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  test.answer_slow("slow answer");
  EXPECT_TRUE(client.read_until("slow answer").ends_with("slow answer"));
  EXPECT_TRUE(client.read_until("next").ends_with("next"));
  EXPECT_EQ(test.abandoned, -1);
}

TEST(Server, NoticesThatTheClientHasGone) {
  TestService test;
  Client client(test.port);
  client.send(get("/slow"));
  test.wait_for_slow();
  client.close();
  test.server.drain(steady_clock::now() + seconds(10));
  EXPECT_EQ(test.abandoned, static_cast<int>(Abandonment::kClientGone));
}

TEST(Server, AHalfClosedClientStillGetsItsAnswer) {
  TestService test;
  Client client(test.port);
  client.send(post("whole"));
  client.finish_sending();
  EXPECT_TRUE(client.read_all().ends_with("whole"));
}

TEST(Server, AThrowingHandlerIsA500WithoutDetails) {
  TestService test;
  Client client(test.port);
  client.send(get("/throw") + post("next"));
  const std::string answers = client.read_until("next");
  EXPECT_TRUE(has(answers, "HTTP/1.1 500 ")) << answers;
  EXPECT_FALSE(has(answers, "secret")) << answers;
}

TEST(Server, HeadHasNoBody) {
  TestService test;
  Client client(test.port);
  client.send("HEAD /throw HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(client.read_all().ends_with("\r\n\r\n"));
}

TEST(Server, SpeaksHttp10) {
  TestService test;
  Client client(test.port);
  client.send("POST /echo HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi");
  EXPECT_TRUE(client.read_all().ends_with("\r\n\r\nhi")) << "and closes";
}

TEST(Server, DrainFinishesWhatIsUnderWay) {
  TestService test;
  Client slow(test.port), idle(test.port), ready(test.port);
  slow.send(get("/slow"));
  test.wait_for_slow();
  std::thread answer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    ready.send(post("late"));
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    test.answer_slow("done");
  });
  const size_t aborted = test.server.drain(steady_clock::now() + seconds(10));
  answer.join();
  EXPECT_EQ(aborted, 0u);
  EXPECT_TRUE(has(ready.read_all(), "Connection: close"));
  EXPECT_TRUE(slow.read_all().ends_with("done"));
  EXPECT_EQ(idle.read_all(), "");
  EXPECT_FALSE(Client(test.port).connected());
}

TEST(Server, DrainServesConnectionsThatWaitInTheBacklog) {
  TestService test;
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 100; ++i) {
    clients.push_back(std::make_unique<Client>(test.port));
    clients.back()->send(post("x"));
  }
  EXPECT_EQ(test.server.drain(steady_clock::now() + seconds(10)), 0u);
  for (const auto& client : clients) EXPECT_TRUE(client->read_all().ends_with("x"));
}

TEST(Server, AtTheDeadlineWhatIsLeftIsAbandoned) {
  TestService test;
  Client client(test.port);
  client.send(get("/slow"));
  test.wait_for_slow();
  EXPECT_EQ(test.server.drain(steady_clock::now()), 1u);
  EXPECT_EQ(test.abandoned, static_cast<int>(Abandonment::kShutdown));
  EXPECT_TRUE(client.read_all().ends_with("abandoned"));
}

TEST(Server, NamesAPortThatIsTaken) {
  TestService test;
  Server other(1);
  try {
    other.listen("127.0.0.1", test.port, test.service);
    FAIL();
  } catch (const std::runtime_error& error) {
    const std::string expected = "cannot listen on 127.0.0.1:" + std::to_string(test.port) + ": ";
    EXPECT_TRUE(has(error.what(), expected)) << error.what();
  }
  EXPECT_THROW(other.listen("localhost.", 0, test.service), std::runtime_error);
  EXPECT_NE(other.listen("127.0.0.1", 0, test.service), 0) << "the server is still good";
}

}  // namespace
}  // namespace zeta::http
