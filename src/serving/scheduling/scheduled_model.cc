#include "src/serving/scheduling/scheduled_model.h"

#include <algorithm>
#include <exception>
#include <latch>
#include <new>
#include <utility>

#include "src/base/concat.h"
#include "src/serving/request_trace.h"
#include "src/serving/scheduling/dynamic_batcher.h"
#include "src/serving/scheduling/sequence_batcher.h"

namespace zeta::serving {
namespace {

using std::chrono::nanoseconds;

std::shared_ptr<OrderedDelivery> delivery_of(const SchedulingPolicy& policy) {
  const bool ordered = (policy.dynamic_batching && policy.dynamic_batching->preserve_ordering) ||
                       (policy.sequence_batching && policy.sequence_batching->preserve_ordering);
  if (policy.decoupled) return nullptr;  // several responses have no one place
  return ordered ? std::make_shared<OrderedDelivery>() : nullptr;
}

std::unique_ptr<Batcher> batcher_of(const std::string& model, const SchedulingPolicy& policy) {
  if (!policy.sequence_batching) return std::make_unique<DynamicBatcher>(policy);
  return std::make_unique<SequenceBatcher>(policy, model, instances_of(model, policy.instance_groups).size());
}

bool has_time_limits(const SchedulingPolicy& policy) {
  if (!policy.dynamic_batching) return false;
  const auto limits = [](const QueuePolicy& queue) {
    return queue.default_timeout.count() > 0 || queue.allow_timeout_override;
  };
  return limits(policy.dynamic_batching->default_queue_policy) ||
         std::ranges::any_of(policy.dynamic_batching->priority_queue_policy,
                             [&](const auto& level) { return limits(level.second); });
}

int64_t count_real(const std::vector<PendingRequest>& batch) {
  return std::ranges::count(batch, false, &PendingRequest::is_padding);
}

void note_phases(const std::vector<PendingRequest>& batch, SchedulerClock::time_point start,
                 const BatchResult& result) {
  const auto end = SchedulerClock::now();
  for (const PendingRequest& pending : batch) {
    if (pending.is_padding || pending.request->trace == nullptr) continue;
    RequestTrace& trace = *pending.request->trace;
    trace.note("QUEUE_START", pending.arrival);
    trace.note("COMPUTE_START", start);
    trace.note("COMPUTE_INPUT_END", result.inputs_ready);
    trace.note("COMPUTE_OUTPUT_START", result.computed);
    trace.note("COMPUTE_END", end);
  }
}

// One piece repeated, as if so many requests had sent it.
std::vector<PendingRequest> warmup_requests(const Warmup& warmup, bool has_batch_dimension) {
  auto request = std::make_shared<InferRequest>();
  request->inputs = warmup.inputs;
  if (has_batch_dimension) {
    for (Tensor& input : request->inputs) input.shape.insert(input.shape.begin(), 1);
  }
  const size_t count = has_batch_dimension ? std::max<uint32_t>(warmup.batch_size, 1) : 1;
  PendingRequest pending;
  pending.request = std::move(request);
  return std::vector<PendingRequest>(count, pending);
}

}  // namespace

// What the instances' threads tell whoever waits for the model to be loaded.
class ScheduledModel::Start {
 public:
  explicit Start(size_t count) : left_(static_cast<std::ptrdiff_t>(count)) {}
  void report(absl::Status status) {
    {
      MutexLock lock(mutex_);
      status_.Update(std::move(status));
    }
    left_.count_down();
  }
  absl::Status wait() {
    left_.wait();
    MutexLock lock(mutex_);
    return status_;
  }

 private:
  std::latch left_;
  Mutex mutex_;
  absl::Status status_ ZETA_GUARDED_BY(mutex_);
};

ScheduledModel::ScheduledModel(std::unique_ptr<Executable> executable, SchedulingPolicy policy,
                               std::shared_ptr<Statistics> statistics, std::shared_ptr<RateLimiter> limiter)
    : executable_(std::move(executable)),
      policy_(std::move(policy)),
      assembly_(policy_, executable_->metadata()),
      statistics_(std::move(statistics)),
      ordered_(delivery_of(policy_)),
      limiter_(std::move(limiter)),
      batcher_(batcher_of(executable_->metadata().name, policy_)) {}

absl::StatusOr<std::unique_ptr<ScheduledModel>> ScheduledModel::create(std::unique_ptr<Executable> executable,
                                                                       SchedulingPolicy policy,
                                                                       std::shared_ptr<Statistics> statistics,
                                                                       std::shared_ptr<RateLimiter> limiter) {
  const std::string name = executable->metadata().name;
  if (absl::Status status = check_policy(name, policy); !status.ok()) return status;
  const auto instances = instances_of(name, policy.instance_groups);
  const bool can_be_late = has_time_limits(policy);
  std::unique_ptr<ScheduledModel> model(new ScheduledModel(std::move(executable), std::move(policy),
                                                           std::move(statistics), std::move(limiter)));
  if (absl::Status status = model->start(instances, model->workers_); !status.ok()) return status;
  if (can_be_late) model->expiry_ = std::jthread([self = model.get()] { self->expire_late(); });
  return model;
}

absl::Status ScheduledModel::start(const std::vector<PlacedInstance>& instances, Workers& workers) {
  std::vector<size_t> numbers;
  for (const PlacedInstance& instance : instances) {
    Worker worker{instance.placement, nullptr, {}};
    if (limiter_ != nullptr) {
      auto limit = limiter_->add(instance.limit, instance.placement.device);
      if (!limit.ok()) return limit.status();
      worker.limit = *std::move(limit);
    }
    numbers.push_back(next_number_++);
    workers.emplace(numbers.back(), std::move(worker));
  }
  const auto started = std::make_shared<Start>(numbers.size());
  for (const size_t number : numbers) {
    Worker& worker = workers.at(number);
    worker.thread = std::jthread([this, number, &worker, started] { run(number, worker, *started); });
  }
  return started->wait();
}

void ScheduledModel::stop(Workers workers) {
  {
    MutexLock lock(mutex_);
    for (const auto& [number, worker] : workers) leaving_.insert(number);
    changed_.notify_all();
  }
  workers.clear();
  MutexLock lock(mutex_);
  wake_others();  // one that leaves may have been woken for a request
}

absl::Status ScheduledModel::set_instances(const std::vector<InstanceGroup>& groups) {
  const auto name = [](const Placement& placement) {
    return concat(placement.name, "@", placement.kind == Placement::Kind::kGpu ? placement.device : -1);
  };
  std::map<std::string, PlacedInstance> wanted;
  for (const PlacedInstance& instance : instances_of(metadata().name, groups)) {
    wanted.emplace(name(instance.placement), instance);
  }
  std::vector<size_t> surplus;
  for (const auto& [number, worker] : workers_) {
    if (wanted.erase(name(worker.placement)) == 0) surplus.push_back(number);
  }
  std::vector<PlacedInstance> missing;
  missing.reserve(wanted.size());
  for (const auto& [key, instance] : wanted) missing.push_back(instance);
  Workers added;
  if (absl::Status status = start(missing, added); !status.ok()) {
    stop(std::move(added));
    return status;
  }
  workers_.merge(added);
  Workers removed;
  for (const size_t number : surplus) removed.insert(workers_.extract(number));
  stop(std::move(removed));
  return absl::OkStatus();
}

void ScheduledModel::expire_late() {
  while (true) {
    std::vector<PendingRequest> dropped;
    {
      MutexLock lock(mutex_);
      if (ending_) return;
      const auto next = batcher_->next_expiry();
      next ? void(expiry_changed_.wait_until(mutex_, *next)) : expiry_changed_.wait(mutex_);
      if (ending_) return;
      batcher_->expire(SchedulerClock::now(), dropped);
    }
    drop(dropped);
  }
}

ScheduledModel::~ScheduledModel() {
  std::vector<PendingRequest> left;
  {
    MutexLock lock(mutex_);
    ending_ = true;
    left = batcher_->close();
    changed_.notify_all();
    expiry_changed_.notify_all();
  }
  statistics_->pending_changed(-static_cast<int64_t>(left.size()));
  for (const PendingRequest& pending : left) {
    pending.fail(absl::UnavailableError("the model is being unloaded"));
  }
  workers_.clear();
}

absl::StatusOr<PendingRequest> ScheduledModel::admit(std::shared_ptr<const InferRequest> request,
                                                     const std::shared_ptr<ResponseSink>& sink) const {
  PendingRequest pending;
  const auto size = batch_size_of(*request, metadata().name, policy_.max_batch_size);
  if (!size.ok()) return size.status();
  const auto priority = unsigned_parameter(*request, "priority");
  if (!priority.ok()) return priority.status();
  if (const auto timeout = unsigned_parameter(*request, "timeout"); !timeout.ok()) return timeout.status();
  pending.batch_size = *size;
  pending.priority = *priority;
  pending.compatibility = assembly_.compatibility(*request);
  pending.arrival = SchedulerClock::now();
  pending.request = std::move(request);
  pending.sink = sink;
  return pending;
}

void ScheduledModel::infer(std::shared_ptr<const InferRequest> request, std::shared_ptr<ResponseSink> sink) {
  auto pending = admit(std::move(request), sink);
  if (!pending.ok()) {
    InferResponse response;
    response.status = pending.status();
    return sink->send(std::move(response));
  }
  std::vector<PendingRequest> dropped;
  absl::Status status;
  {
    MutexLock lock(mutex_);
    // Wrapped and pushed under one lock, lest the orders differ.
    if (ordered_) pending->sink = ordered_->wrap(std::move(pending->sink));
    status = ending_ ? absl::UnavailableError("the model is being unloaded")
                     : batcher_->push(*pending, pending->arrival, dropped);
    if (status.ok()) {
      statistics_->pending_changed(1);
      wake_others();
      expiry_changed_.notify_one();
    }
  }
  if (!status.ok()) pending->fail(std::move(status));
  drop(dropped);
}

void ScheduledModel::wake_others() {
  batcher_->any_instance() ? changed_.notify_one() : changed_.notify_all();
}

void ScheduledModel::drop(const std::vector<PendingRequest>& dropped) {
  if (dropped.empty()) return;
  statistics_->pending_changed(-static_cast<int64_t>(dropped.size()));
  for (const PendingRequest& pending : dropped) pending.fail(drop_reason(pending));
}

Assignment ScheduledModel::next(size_t number) {
  while (true) {
    std::vector<PendingRequest> dropped;
    {
      MutexLock lock(mutex_);
      if (ending_ || leaving_.contains(number)) return {};
      Assignment assignment = batcher_->poll(number, SchedulerClock::now());
      // Others may have work with what is left, of another shape or on its way to a full batch.
      if (!assignment.batch.empty()) {
        wake_others();
        return assignment;
      }
      dropped = std::move(assignment.dropped);
      if (dropped.empty()) {
        assignment.wake ? void(changed_.wait_until(mutex_, *assignment.wake)) : changed_.wait(mutex_);
      }
    }
    drop(dropped);
  }
}

void ScheduledModel::run(size_t number, const Worker& worker, Start& start) {
  auto instance = prepare(worker.placement);
  const bool ready = instance.ok();
  start.report(instance.status());
  if (!ready) return;
  while (true) {
    const Assignment work = next(number);  // gone before the next wait: it holds requests and their sinks
    if (work.batch.empty()) break;
    if (worker.limit) worker.limit->acquire();
    execute(**instance, work);
    if (worker.limit) worker.limit->release();
  }
}

absl::StatusOr<std::unique_ptr<Instance>> ScheduledModel::prepare(const Placement& placement) try {
  auto instance = executable_->make_instance(placement);
  if (!instance.ok()) return instance.status();
  for (const Warmup& warmup : policy_.warmup) {
    if (absl::Status status = warm_up(**instance, warmup); !status.ok()) {
      return absl::Status(status.code(),
                          concat("failed to run warmup sample '", warmup.name, "' on instance ",
                                 placement.name, ": ", std::string(status.message())));
    }
  }
  return instance;
} catch (const std::exception& error) {
  return absl::InternalError(concat("instance ", placement.name, " cannot be made: ", error.what()));
}

absl::Status ScheduledModel::warm_up(Instance& instance, const Warmup& warmup) const {
  const auto requests = warmup_requests(warmup, policy_.max_batch_size > 0);
  const Batch batch = assembly_.assemble(requests);
  for (uint32_t i = 0; i < std::max<uint32_t>(warmup.count, 1); ++i) {
    if (auto result = instance.execute(batch); !result.ok()) return result.status();
  }
  return absl::OkStatus();
}

void ScheduledModel::execute(Instance& instance, const Assignment& work) {
  drop(work.dropped);
  statistics_->pending_changed(-count_real(work.batch));
  std::vector<bool> again, waits;
  auto responses = compute(instance, work, again);
  {
    MutexLock lock(mutex_);
    waits =
        batcher_->executed(work.batch, responses.ok() ? &*responses : nullptr, again, SchedulerClock::now());
    statistics_->pending_changed(std::ranges::count(waits, true));
  }
  answer(work, std::move(responses), waits);
}

void ScheduledModel::answer(const Assignment& work, absl::StatusOr<std::vector<InferResponse>> responses,
                            const std::vector<bool>& waits) const {
  for (size_t i = 0; i < work.batch.size(); ++i) {
    const PendingRequest& pending = work.batch[i];
    if (pending.is_padding) continue;
    if (!responses.ok()) {
      pending.fail(responses.status());
      continue;
    }
    InferResponse& response = (*responses)[i];
    response.final = i >= waits.size() || !waits[i];
    if (response.final || policy_.decoupled) pending.sink->send(std::move(response));
  }
}

absl::StatusOr<std::vector<InferResponse>> ScheduledModel::compute(Instance& instance, const Assignment& work,
                                                                   std::vector<bool>& again) try {
  const auto start = SchedulerClock::now();
  const Batch batch = assembly_.assemble(work.batch);
  auto result = instance.execute(batch);
  if (!result.ok()) return result.status();
  auto responses = assembly_.share_out(result->outputs, work.batch);
  if (!responses.ok()) return responses.status();
  again = std::move(result->again);
  RequestPhases phases;
  phases.compute_input = result->inputs_ready - start;
  phases.compute_infer = result->computed - result->inputs_ready;
  phases.compute_output = SchedulerClock::now() - result->computed;
  std::vector<nanoseconds> queued;
  queued.reserve(work.batch.size());
  for (const PendingRequest& pending : work.batch) {
    if (!pending.is_padding) queued.push_back(start - pending.arrival);
  }
  const auto padding = static_cast<int64_t>(work.batch.size() - queued.size());
  statistics_->execution(batch.size - padding, queued, phases);
  note_phases(work.batch, start, *result);
  for (InferResponse& response : *responses) response.phases = phases;
  return responses;
} catch (const std::bad_alloc&) {
  return absl::InternalError(concat("model '", metadata().name, "' ran out of memory"));
} catch (const std::exception& error) {
  return absl::InternalError(concat("model '", metadata().name, "' failed: ", error.what()));
}

}  // namespace zeta::serving
