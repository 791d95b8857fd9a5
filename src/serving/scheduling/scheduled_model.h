// A model that is served by instances, each with a thread, out of one queue.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "src/base/mutex.h"
#include "src/serving/backend.h"
#include "src/serving/scheduling/batch_assembly.h"
#include "src/serving/scheduling/batcher.h"
#include "src/serving/scheduling/ordered_delivery.h"
#include "src/serving/scheduling/placed_instance.h"
#include "src/serving/scheduling/policy.h"
#include "src/serving/scheduling/rate_limiter.h"
#include "src/serving/statistics.h"

namespace zeta::serving {

// An idle instance takes the next batch itself, so batches form as late as they can and an instance holds no
// queue of its own. Whatever an instance answers or throws, every request gets exactly one final response.
class ScheduledModel final : public Model {
 public:
  // Makes the instances and warms them up, in their threads and all at once. A status is the first failure.
  // `limiter`, null for none, decides when they may compute.
  static absl::StatusOr<std::unique_ptr<ScheduledModel>> create(
      std::unique_ptr<Executable> executable, SchedulingPolicy policy, std::shared_ptr<Statistics> statistics,
      std::shared_ptr<RateLimiter> limiter = nullptr);
  // Lets the instances finish what they execute; requests that still wait get Unavailable.
  ~ScheduledModel() override;

  const ModelMetadata& metadata() const override { return assembly_.client_metadata(); }
  void infer(std::shared_ptr<const InferRequest> request, std::shared_ptr<ResponseSink> sink) override
      ZETA_EXCLUDES(mutex_);
  std::vector<MetricSample> metrics() const override { return executable_->metrics(); }
  std::string notice() const override { return executable_->notice(); }

  // Makes the instances that `groups` has and the model has not, then lets those go that it has no more,
  // when they have done what they are at. A status leaves all as it was. REQUIRES: no sequence batching,
  // whose sequences belong to instances; one call at a time.
  absl::Status set_instances(const std::vector<InstanceGroup>& groups) ZETA_EXCLUDES(mutex_);

 private:
  class Start;

  struct Worker {
    Placement placement;
    std::unique_ptr<RateLimiter::Instance> limit;  // null: none
    std::jthread thread;
  };
  using Workers = std::map<size_t, Worker>;  // by the instance's number

  ScheduledModel(std::unique_ptr<Executable> executable, SchedulingPolicy policy,
                 std::shared_ptr<Statistics> statistics, std::shared_ptr<RateLimiter> limiter);
  // Adds to `workers`, and waits until all are ready.
  absl::Status start(const std::vector<PlacedInstance>& instances, Workers& workers);
  // Ends those of `workers`, of which no batch is taken back.
  void stop(Workers workers) ZETA_EXCLUDES(mutex_);
  void expire_late() ZETA_EXCLUDES(mutex_);  // a thread's work

  absl::StatusOr<PendingRequest> admit(std::shared_ptr<const InferRequest> request,
                                       const std::shared_ptr<ResponseSink>& sink) const;
  // An instance's thread.
  void run(size_t number, const Worker& worker, Start& start) ZETA_EXCLUDES(mutex_);
  absl::StatusOr<std::unique_ptr<Instance>> prepare(const Placement& placement);
  absl::Status warm_up(Instance& instance, const Warmup& warmup) const;
  void wake_others() ZETA_REQUIRES(mutex_);
  // Waits for a batch; none when the model ends.
  Assignment next(size_t number) ZETA_EXCLUDES(mutex_);
  void execute(Instance& instance, const Assignment& work) ZETA_EXCLUDES(mutex_);
  absl::StatusOr<std::vector<InferResponse>> compute(Instance& instance, const Assignment& assignment,
                                                     std::vector<bool>& again);
  // Requests that wait again are pending again.
  void answer(const Assignment& work, absl::StatusOr<std::vector<InferResponse>> responses,
              const std::vector<bool>& waits) const;
  void drop(const std::vector<PendingRequest>& dropped);

  const std::unique_ptr<Executable> executable_;  // outlives the instances
  const SchedulingPolicy policy_;
  const BatchAssembly assembly_;
  const std::shared_ptr<Statistics> statistics_;
  const std::shared_ptr<OrderedDelivery> ordered_;  // null: responses go out as they come
  const std::shared_ptr<RateLimiter> limiter_;

  Mutex mutex_;
  CondVar changed_;
  const std::unique_ptr<Batcher> batcher_ ZETA_GUARDED_BY(mutex_);
  bool ending_ ZETA_GUARDED_BY(mutex_) = false;
  std::set<size_t> leaving_ ZETA_GUARDED_BY(mutex_);  // instances
  CondVar expiry_changed_;
  size_t next_number_ = 0;
  Workers workers_;
  std::jthread expiry_;  // where requests can be late
};

}  // namespace zeta::serving
