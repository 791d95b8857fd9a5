// Batches of requests that belong to sequences.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "src/serving/scheduling/batcher.h"
#include "src/serving/scheduling/policy.h"
#include "src/serving/scheduling/sequence_identity.h"

namespace zeta::serving {

// A sequence begins with a request that has sequence_start and holds one slot of one instance until its
// sequence_end, or until it has been idle for max_sequence_idle. Its requests run one after another, in that
// slot; while all slots are taken, further sequences wait.
//   kDirect  A slot is a place in the batch. The batch reaches to the last place that has a request; places
//            before it without one are filled, with the READY control off.
//   kOldest  Each instance has max_candidate_sequences slots, and its batches are the longest waiting
//   requests
//            of these, no two of one sequence.
// Iterative batching makes a sequence of each request that names none, and puts a request that the model
// wants to run again before those that wait behind it. Requests get the control inputs and, for implicit
// state, what the sequence's last answer left.
class SequenceBatcher final : public Batcher {
 public:
  SequenceBatcher(const SchedulingPolicy& policy, std::string model, size_t instances);

  absl::Status push(PendingRequest& request, SchedulerClock::time_point now,
                    std::vector<PendingRequest>& dropped) override;
  Assignment poll(size_t instance, SchedulerClock::time_point now) override;
  std::vector<bool> executed(const std::vector<PendingRequest>& batch, std::vector<InferResponse>* responses,
                             const std::vector<bool>& again, SchedulerClock::time_point now) override;
  bool any_instance() const override { return false; }
  std::vector<PendingRequest> close() override;

 private:
  struct Step {
    PendingRequest request;
    SequenceIdentity identity;
  };
  struct Sequence {
    std::deque<Step> waiting;
    bool has_slot = false;
    bool is_running = false;
    bool is_ending = false;  // the end has come, though it may not have run
    SchedulerClock::time_point last_use;
    std::vector<Tensor> states;  // in the order of the policy's
  };
  using SequencePointer = std::shared_ptr<Sequence>;
  using Slots = std::vector<SequencePointer>;

  absl::StatusOr<SequenceIdentity> identify(const InferRequest& request);
  SequencePointer find_or_start(const SequenceIdentity& identity);
  SequencePointer start();
  void fill_slots();
  void drop_idle(SchedulerClock::time_point now);
  // When drop_idle() would free one of them.
  std::optional<SchedulerClock::time_point> next_idle(const Slots& slots) const;
  void drop_cancelled(Slots& slots, std::vector<PendingRequest>& dropped);
  // The numbers of the slots that have a request, oldest first; of compatible ones only.
  std::vector<size_t> ready_slots(const Slots& slots) const;
  // As many of these as are to be run now; 0, and when to look again, to wait for more.
  size_t count_to_run(const std::vector<size_t>& ready, const Slots& slots, SchedulerClock::time_point now,
                      std::optional<SchedulerClock::time_point>& wake) const;
  // The shapes of the states that the sequence's next request gets; requests of one batch have equal ones.
  std::vector<std::vector<int64_t>> next_state_shapes(const Sequence& sequence) const;
  PendingRequest take(const SequencePointer& sequence);
  PendingRequest padding_like(const PendingRequest& other) const;
  std::shared_ptr<const InferRequest> with_tensors(const InferRequest& request,
                                                   const SequenceIdentity& identity,
                                                   const Sequence& sequence) const;
  void keep_states(Sequence& sequence, InferResponse& response) const;
  bool has_batch_dimension() const { return max_batch_size_ > 0; }

  const SequenceBatching batching_;
  const std::string model_;
  const int64_t max_batch_size_;
  const size_t batch_limit_;
  std::map<std::string, SequencePointer> active_;  // by id
  std::vector<Slots> slots_;                       // of each instance
  std::deque<SequencePointer> backlog_;
  struct Running {
    SequencePointer sequence;
    Step step;  // as it came
  };
  std::map<const InferRequest*, Running> running_;
  int64_t own_sequences_ = 0;  // that were begun for requests without an id
};

}  // namespace zeta::serving
