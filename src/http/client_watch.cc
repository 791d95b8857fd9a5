#include "src/http/client_watch.h"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

namespace zeta::http {
namespace {

constexpr size_t kMaxPipelined = 64 << 10;  // bytes kept of requests that came early
constexpr size_t kRead = 4 << 10;

}  // namespace

void ClientWatch::start(Callback callback, const std::shared_ptr<void>& owner) {
  callback_ = std::move(callback);
  // A wait of an earlier request may still be under way: it serves as well.
  if (!waiting_) wait(owner);
}

void ClientWatch::abandon(Abandonment why) {
  if (auto callback = std::exchange(callback_, nullptr)) callback(why);
}

void ClientWatch::wait(const std::shared_ptr<void>& owner) {
  waiting_ = true;
  socket_.async_wait(Socket::wait_read, [this, owner](boost::system::error_code error) {
    waiting_ = false;
    if (!error && callback_ && look()) wait(owner);
  });
}

bool ClientWatch::look() {
  if (buffer_.size() >= kMaxPipelined) return false;
  const auto space = buffer_.prepare(kRead);
  const ssize_t count = ::recv(socket_.native_handle(), space.data(), space.size(), MSG_DONTWAIT);
  if (count > 0) {
    buffer_.commit(static_cast<size_t>(count));
    return true;
  }
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  abandon(Abandonment::kClientGone);
  return false;
}

}  // namespace zeta::http
