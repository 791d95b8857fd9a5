#include "src/http/server.h"

#include <algorithm>

#include "src/http/acceptor.h"
#include "src/http/worker.h"

namespace zeta::http {
namespace {

constexpr std::chrono::seconds kAbortPatience{2};

}  // namespace

Server::Server(size_t threads) {
  for (size_t i = 0; i < std::max<size_t>(threads, 1); ++i) {
    workers_.push_back(std::make_unique<Worker>());
  }
}

Server::~Server() {
  for (const auto& acceptor : acceptors_) acceptor->stop();
  acceptors_.clear();  // before the event loop that they run on
  workers_.clear();
}

uint16_t Server::listen(const std::string& address, uint16_t port, std::shared_ptr<const Service> service) {
  auto acceptor =
      std::make_shared<Acceptor>(*this, workers_.front()->context(), address, port, std::move(service));
  acceptor->start();
  acceptors_.push_back(acceptor);
  return acceptor->port();
}

size_t Server::drain(std::chrono::steady_clock::time_point deadline) {
  for (const auto& acceptor : acceptors_) acceptor->stop();
  acceptors_.clear();
  for (const auto& worker : workers_) worker->begin_drain();
  if (wait_until_empty(deadline)) return 0;
  const size_t left = connections();
  for (const auto& worker : workers_) worker->abort();
  wait_until_empty(std::chrono::steady_clock::now() + kAbortPatience);
  return left;
}

Worker& Server::next_worker() {
  return *workers_[turn_.fetch_add(1, std::memory_order_relaxed) % workers_.size()];
}

void Server::connection_opened() { connections_.fetch_add(1, std::memory_order_relaxed); }

void Server::connection_closed() {
  MutexLock lock(mutex_);
  connections_.fetch_sub(1, std::memory_order_relaxed);
  closed_.notify_all();
}

bool Server::wait_until_empty(std::chrono::steady_clock::time_point deadline) {
  MutexLock lock(mutex_);
  while (connections() != 0) {
    if (!closed_.wait_until(mutex_, deadline) && connections() != 0) return false;
  }
  return true;
}

}  // namespace zeta::http
