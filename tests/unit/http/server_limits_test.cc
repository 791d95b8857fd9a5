#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/unit/http/client.h"
#include "tests/unit/http/test_service.h"

namespace zeta::http {
namespace {

using std::chrono::milliseconds;

int status_of(const std::string& answer) {
  return answer.starts_with("HTTP/1.1 ") ? std::stoi(answer.substr(9, 3)) : 0;
}

int status_for(const std::string& bytes, Limits limits = {}) {
  TestService test(limits);
  Client client(test.port);
  client.send(bytes);
  return status_of(client.read_all());
}

TEST(Limits, OversizedHeadersAndBodies) {
  Limits limits;
  limits.header_bytes = 1024;
  limits.body_bytes = 1000;
  const std::string head = "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
  EXPECT_EQ(status_for(head + "X: " + std::string(2000, 'a') + "\r\n\r\n", limits), 431);
  EXPECT_EQ(status_for("GET /" + std::string(5000, 'a'), limits), 431);
  EXPECT_EQ(status_for(head + "Content-Length: 1001\r\n\r\n", limits), 413);
  EXPECT_EQ(status_for(head + "Content-Length: 99999999999\r\n\r\n", limits), 413);
  const std::string chunk = "12c\r\n" + std::string(300, 'b') + "\r\n";
  const std::string chunked = head + "Transfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(status_for(chunked + chunk + chunk + chunk + chunk + "0\r\n\r\n", limits), 413);
  EXPECT_EQ(status_for(chunked + chunk + chunk + chunk + "0\r\n\r\n", limits), 200);
}

TEST(Limits, MalformedRequests) {
  const std::string head = "POST /echo HTTP/1.1\r\nHost: x\r\n";
  EXPECT_EQ(status_for("\x16\x03\x01 not http\r\n\r\n"), 400);
  EXPECT_EQ(status_for("GET / HTTP/1.1\r\n\r\n"), 400) << "no Host";
  EXPECT_EQ(status_for("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), 400);
  EXPECT_EQ(status_for("GET / HTTP/3.0\r\n\r\n"), 505);
  EXPECT_EQ(status_for("GET / HTTP/1.1\r\nHost x\r\n\r\n"), 400);
  EXPECT_EQ(status_for(head + "Content-Length: -1\r\n\r\n"), 400);
  EXPECT_EQ(status_for(head + "Content-Length: 5x\r\n\r\n"), 400);
  EXPECT_EQ(status_for(head + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n"), 400);
  EXPECT_EQ(status_for(head + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400);
  EXPECT_EQ(status_for(head + "Transfer-Encoding: gzip\r\n\r\n"), 501);
  EXPECT_EQ(status_for(head + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), 501);
  EXPECT_EQ(status_for(head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n"), 400);
  EXPECT_EQ(status_for(head + "Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n"), 400);
  EXPECT_EQ(status_for(head + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n"), 400);
  EXPECT_EQ(status_for(head + "Content-Encoding: br\r\nContent-Length: 0\r\n\r\n"), 415);
}

TEST(Limits, ARequestThatEndsEarly) {
  TestService test;
  Client client(test.port);
  client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf");
  client.finish_sending();
  EXPECT_EQ(status_of(client.read_all()), 400);
}

TEST(Limits, ASlowClientGets408) {
  Limits limits;
  limits.read_timeout = milliseconds(200);
  EXPECT_EQ(status_for("GET / HT", limits), 408);
  EXPECT_EQ(status_for("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nab", limits), 408);
}

TEST(Limits, AnIdleConnectionIsClosed) {
  Limits limits;
  limits.idle_timeout = milliseconds(100);
  EXPECT_EQ(status_for("", limits), 0);
}

TEST(Limits, ARequestThatTakesTooLongIsAbandoned) {
  Limits limits;
  limits.request_timeout = milliseconds(100);
  TestService test(limits);
  Client client(test.port);
  client.send(get("/slow"));
  EXPECT_TRUE(client.read_until("abandoned").ends_with("abandoned"));
  EXPECT_EQ(test.abandoned, static_cast<int>(Abandonment::kDeadline));
}

TEST(Limits, ConnectionsBeyondTheLimitGet503) {
  Limits limits;
  limits.connections = 2;
  TestService test(limits);
  Client first(test.port), second(test.port);
  const std::string request = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok";
  for (Client* client : {&first, &second}) {
    client->send(request);
    EXPECT_TRUE(client->read_until("\r\n\r\nok").starts_with("HTTP/1.1 200"));
  }
  Client third(test.port);
  third.send(request);
  EXPECT_EQ(status_of(third.read_all()), 503);
  first.send(request);
  EXPECT_TRUE(first.read_until("\r\n\r\nok").starts_with("HTTP/1.1 200"));
}

// Takes up `count` connections of a server.
std::vector<std::unique_ptr<Client>> occupy(uint16_t port, size_t count) {
  std::vector<std::unique_ptr<Client>> clients;
  for (size_t i = 0; i < count; ++i) {
    clients.push_back(std::make_unique<Client>(port));
    clients.back()->send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok");
    EXPECT_TRUE(clients.back()->read_until("\r\n\r\nok").starts_with("HTTP/1.1 200"));
  }
  return clients;
}

TEST(Limits, AFullServerTellsItsHealth) {
  Limits limits;
  limits.connections = 2;
  TestService test(limits);
  const auto clients = occupy(test.port, limits.connections);
  for (int i = 0; i < 10; ++i) {
    Client watcher(test.port);
    watcher.send(get("/health"));
    const std::string answer = watcher.read_all();
    EXPECT_EQ(status_of(answer), 200);
    EXPECT_NE(answer.find("Connection: close"), std::string::npos) << "the place is given back";
  }
}

TEST(Limits, ClientsThatSendNothingDoNotKeepAFullServersHealthFromOthers) {
  Limits limits;
  limits.connections = 2;
  TestService test(limits);
  const auto clients = occupy(test.port, limits.connections);
  const Client silent(test.port), silent_too(test.port), silent_as_well(test.port);
  Client watcher(test.port);
  watcher.send(get("/health"));
  EXPECT_EQ(status_of(watcher.read_all()), 200);
}

TEST(Limits, EachPortHasItsOwnConnections) {
  Limits limits;
  limits.connections = 2;
  TestService test(limits);
  const uint16_t other = test.server.listen("127.0.0.1", 0, test.service);
  const auto clients = occupy(test.port, limits.connections);
  const auto others = occupy(other, limits.connections);
  EXPECT_EQ(test.server.connections(), 4U);
}

TEST(Limits, ExpectContinueIsAnsweredBeforeTheBody) {
  TestService test;
  Client client(test.port);
  client.send("POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("ok");
  EXPECT_TRUE(client.read_until("\r\n\r\nok").ends_with("ok"));
}

}  // namespace
}  // namespace zeta::http
