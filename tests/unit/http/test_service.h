// A server with a few routes for tests.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "src/base/mutex.h"
#include "src/http/mailbox.h"
#include "src/http/server.h"

namespace zeta::http {

// /echo gives the body back; /slow waits until told, or abandoned; /throw throws; /health answers when full.
struct TestService {
  explicit TestService(Limits limits = {}) {
    auto made = std::make_shared<Service>();
    made->name = "test";
    made->limits = limits;
    made->error = [](std::string_view, int status, std::string_view message) {
      Response response;
      response.status = status;
      response.body = message;
      return response;
    };
    made->router.add("POST", "/echo", [](Request& request) -> asio::awaitable<Response> {
      Response response;
      response.body = std::move(request.body);
      co_return response;
    });
    made->router.add("GET", "/throw", [](Request&) -> asio::awaitable<Response> {
      throw std::runtime_error("secret detail");
      co_return Response{};
    });
    made->router.add(
        "GET", "/health", [](Request&) -> asio::awaitable<Response> { co_return Response{}; },
        WhenFull::kAnswer);
    made->router.add("GET", "/slow", [this](Request& request) { return slow(request); });
    service = made;
    port = server.listen("127.0.0.1", 0, service);
  }

  asio::awaitable<Response> slow(Request& request) {
    auto mailbox = std::make_shared<Mailbox<std::string>>(request.connection->executor());
    request.connection->on_abandon([this, mailbox](Abandonment why) {
      abandoned = static_cast<int>(why);
      mailbox->put("abandoned");
    });
    {
      MutexLock lock(mutex);
      waiting = mailbox;
    }
    changed.notify_all();
    Response response;
    response.body = (co_await mailbox->take()).front();
    co_return response;
  }
  // Waits for a request to /slow and answers it.
  void answer_slow(const std::string& body) {
    const auto mailbox = wait_for_slow();
    {
      MutexLock lock(mutex);
      waiting = nullptr;
    }
    mailbox->put(body);
  }
  std::shared_ptr<Mailbox<std::string>> wait_for_slow() {
    MutexLock lock(mutex);
    while (!waiting) changed.wait(mutex);
    return waiting;
  }

  std::atomic<int> abandoned{-1};
  Mutex mutex;
  CondVar changed;
  std::shared_ptr<Mailbox<std::string>> waiting ZETA_GUARDED_BY(mutex);
  std::shared_ptr<const Service> service;
  uint16_t port = 0;
  Server server{2};
};

}  // namespace zeta::http
