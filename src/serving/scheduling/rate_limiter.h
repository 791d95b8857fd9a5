// Which instances of all models may compute side by side.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "src/base/mutex.h"
#include "src/serving/scheduling/policy.h"

namespace zeta::serving {

// How many of a resource there are.
struct ResourceLimit {
  std::string name;
  uint64_t count = 0;
  std::optional<int> device;  // none: on each device
};

// An instance computes only while it has all the resources that its group names, its own device's or global
// ones. Without a limit there are as many of a resource as the instance that needs most of it needs; with any
// limit, of those that none names there are none. Of the instances that wait, the one with the least
// executions × priority goes first, and no other takes what it waits for. Thread-safe.
class RateLimiter : public std::enable_shared_from_this<RateLimiter> {
 public:
  explicit RateLimiter(std::vector<ResourceLimit> limits) : limits_(std::move(limits)) {}

  // An instance's place; it ends with this.
  class Instance {
   public:
    Instance(std::shared_ptr<RateLimiter> limiter, uint64_t id) : limiter_(std::move(limiter)), id_(id) {}
    ~Instance() { limiter_->remove(id_); }
    Instance(const Instance&) = delete;
    Instance& operator=(const Instance&) = delete;
    // Blocks until its resources are free, and takes them.
    void acquire() { limiter_->acquire(id_); }
    void release() { limiter_->release(id_); }

   private:
    const std::shared_ptr<RateLimiter> limiter_;
    const uint64_t id_;
  };

  // InvalidArgument, in Triton's words, when the instance could never run, or when a resource is global here
  // and of a device there.
  absl::StatusOr<std::unique_ptr<Instance>> add(const RateLimit& limit, int device) ZETA_EXCLUDES(mutex_);

 private:
  using Resource = std::pair<int, std::string>;  // device or kGlobal, and name
  static constexpr int kGlobal = -1;
  struct Member {
    std::map<Resource, uint64_t> needs;
    uint64_t priority = 1, executions = 0;
    uint64_t waits_since = 0;  // 0: it does not wait
  };

  void remove(uint64_t id) ZETA_EXCLUDES(mutex_);
  void acquire(uint64_t id) ZETA_EXCLUDES(mutex_);
  void release(uint64_t id) ZETA_EXCLUDES(mutex_);
  // Of the resources that members name.
  absl::Status count_resources() ZETA_REQUIRES(mutex_);
  uint64_t limit_of(const Resource& resource) const;
  bool may_run(uint64_t id) const ZETA_REQUIRES(mutex_);
  bool is_free(const Member& member) const ZETA_REQUIRES(mutex_);

  const std::vector<ResourceLimit> limits_;
  Mutex mutex_;
  CondVar changed_;
  std::map<uint64_t, Member> members_ ZETA_GUARDED_BY(mutex_);
  std::map<Resource, uint64_t> there_ ZETA_GUARDED_BY(mutex_), taken_ ZETA_GUARDED_BY(mutex_);
  uint64_t next_id_ ZETA_GUARDED_BY(mutex_) = 0;
  uint64_t next_wait_ ZETA_GUARDED_BY(mutex_) = 0;
};

}  // namespace zeta::serving
