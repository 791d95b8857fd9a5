// A model that is served by instances, each with a thread, out of one queue.
#pragma once

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "src/base/mutex.h"
#include "src/serving/backend.h"
#include "src/serving/scheduling/batch_assembly.h"
#include "src/serving/scheduling/batcher.h"
#include "src/serving/scheduling/ordered_delivery.h"
#include "src/serving/scheduling/policy.h"
#include "src/serving/statistics.h"

namespace zeta::serving {

// An idle instance takes the next batch itself, so batches form as late as they can and an instance holds no
// queue of its own. Whatever an instance answers or throws, every request gets exactly one final response.
class ScheduledModel final : public Model {
 public:
  // Makes the instances and warms them up, in their threads and all at once. A status is the first failure.
  static absl::StatusOr<std::unique_ptr<ScheduledModel>> create(std::unique_ptr<Executable> executable,
                                                                SchedulingPolicy policy,
                                                                std::shared_ptr<Statistics> statistics);
  // Lets the instances finish what they execute; requests that still wait get Unavailable.
  ~ScheduledModel() override;

  const ModelMetadata& metadata() const override { return assembly_.client_metadata(); }
  void infer(std::shared_ptr<const InferRequest> request, std::shared_ptr<ResponseSink> sink) override
      ZETA_EXCLUDES(mutex_);
  std::vector<MetricSample> metrics() const override { return executable_->metrics(); }

 private:
  class Start;

  ScheduledModel(std::unique_ptr<Executable> executable, SchedulingPolicy policy,
                 std::shared_ptr<Statistics> statistics);

  absl::StatusOr<PendingRequest> admit(std::shared_ptr<const InferRequest> request,
                                       const std::shared_ptr<ResponseSink>& sink) const;
  // An instance's thread.
  void run(size_t number, const Placement& placement, Start& start) ZETA_EXCLUDES(mutex_);
  absl::StatusOr<std::unique_ptr<Instance>> prepare(const Placement& placement);
  absl::Status warm_up(Instance& instance, const Warmup& warmup) const;
  void wake_others() ZETA_REQUIRES(mutex_);
  // Waits for a batch; none when the model ends.
  Assignment next(size_t number) ZETA_EXCLUDES(mutex_);
  void execute(Instance& instance, Assignment assignment) ZETA_EXCLUDES(mutex_);
  absl::StatusOr<std::vector<InferResponse>> compute(Instance& instance, const Assignment& assignment);
  void drop(const std::vector<PendingRequest>& dropped);

  const std::unique_ptr<Executable> executable_;  // outlives the instances
  const SchedulingPolicy policy_;
  const BatchAssembly assembly_;
  const std::shared_ptr<Statistics> statistics_;
  const std::shared_ptr<OrderedDelivery> ordered_;  // null: responses go out as they come

  Mutex mutex_;
  CondVar changed_;
  const std::unique_ptr<Batcher> batcher_ ZETA_GUARDED_BY(mutex_);
  bool ending_ ZETA_GUARDED_BY(mutex_) = false;
  std::vector<std::jthread> threads_;
};

// Where the instances of a policy go, one placement each.
std::vector<Placement> placements_of(const std::string& model, const SchedulingPolicy& policy);

}  // namespace zeta::serving
