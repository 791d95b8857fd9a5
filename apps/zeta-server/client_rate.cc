#include "apps/zeta-server/client_rate.h"

#include <algorithm>

#include "src/base/concat.h"

namespace zeta::server {
namespace {

constexpr size_t kLeast = 1024;

}  // namespace

absl::Status ClientRate::take(std::string_view client, Clock::time_point now) {
  if (!limited()) return absl::OkStatus();
  MutexLock lock(mutex_);
  if (clients_.size() >= most_) forget_idle(now);
  const auto [found, is_new] = clients_.try_emplace(std::string(client), Allowance{burst(), now});
  Allowance& allowance = found->second;
  const std::chrono::duration<double> passed = now - allowance.time;
  allowance.left = std::min(burst(), allowance.left + passed.count() * per_second_);
  allowance.time = now;
  if (allowance.left < 1) {
    return absl::ResourceExhaustedError(concat("client ", client,
                                               " sends more requests a second than one may "
                                               "(--client-request-rate)"));
  }
  allowance.left -= 1;
  return absl::OkStatus();
}

// Those whose allowance is full again: forgetting them changes nothing. So the table is as large as the
// number of clients within a burst's time, twice.
void ClientRate::forget_idle(Clock::time_point now) {
  std::erase_if(clients_, [&](const auto& client) {
    const std::chrono::duration<double> passed = now - client.second.time;
    return client.second.left + passed.count() * per_second_ >= burst();
  });
  most_ = std::max(kLeast, 2 * clients_.size());
}

}  // namespace zeta::server
