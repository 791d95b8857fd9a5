#include "src/serving/scheduling/sequence_batcher.h"

#include <algorithm>
#include <utility>

#include "src/base/concat.h"
#include "src/serving/scheduling/sequence_tensors.h"
#include "src/serving/tensor.h"

namespace zeta::serving {
namespace {

constexpr size_t kDefaultCandidates = 64;

size_t slots_per_instance(const SequenceBatching& batching, size_t batch_limit) {
  if (batching.strategy == SequenceBatching::Strategy::kDirect) return batch_limit;
  const auto wanted = static_cast<size_t>(batching.max_candidate_sequences);
  return wanted == 0 ? std::max(batch_limit, kDefaultCandidates) : wanted;
}

}  // namespace

SequenceBatcher::SequenceBatcher(const SchedulingPolicy& policy, std::string model, size_t instances)
    : batching_(policy.sequence_batching.value_or(SequenceBatching())),
      model_(std::move(model)),
      max_batch_size_(policy.max_batch_size),
      batch_limit_(static_cast<size_t>(std::max<int64_t>(policy.max_batch_size, 1))),
      slots_(instances, Slots(slots_per_instance(batching_, batch_limit_))) {}

absl::Status SequenceBatcher::push(PendingRequest& request, SchedulerClock::time_point now,
                                   std::vector<PendingRequest>&) {
  const auto identity = identify(*request.request);
  if (!identity.ok()) return identity.status();
  if (request.batch_size != 1) {
    return absl::InvalidArgumentError(concat("inference request to model '", model_, "' must specify ",
                                             "batch-size 1 due to requirements of sequence batcher"));
  }
  for (const SequenceControl& control : batching_.controls) {
    const auto value = control_tensor(control, *identity, true, has_batch_dimension());
    if (!value.ok()) return value.status();
  }
  drop_idle(now);
  const SequencePointer sequence = identity->is_own ? start() : find_or_start(*identity);
  if (sequence == nullptr) {
    return absl::InvalidArgumentError(concat("inference request for sequence ", identity->text(),
                                             " to model '", model_, "' must specify the START flag on the ",
                                             "first request of the sequence"));
  }
  sequence->last_use = now;
  if (identity->is_own) sequence->is_ending = true;
  if (identity->end && !identity->is_own) {
    sequence->is_ending = true;
    active_.erase(identity->text());
  }
  sequence->waiting.push_back({std::move(request), *identity});
  fill_slots();
  return absl::OkStatus();
}

absl::StatusOr<SequenceIdentity> SequenceBatcher::identify(const InferRequest& request) {
  auto identity = sequence_identity(request, model_);
  if (!batching_.iterative || identity.ok() || request.parameters.contains("sequence_id")) return identity;
  SequenceIdentity own;
  own.id = ++own_sequences_;
  own.start = own.is_own = true;
  return own;
}

SequenceBatcher::SequencePointer SequenceBatcher::start() {
  auto sequence = std::make_shared<Sequence>();
  backlog_.push_back(sequence);
  return sequence;
}

SequenceBatcher::SequencePointer SequenceBatcher::find_or_start(const SequenceIdentity& identity) {
  const auto found = active_.find(identity.text());
  if (found != active_.end()) return found->second;
  if (!identity.start) return nullptr;
  auto sequence = start();
  active_.emplace(identity.text(), sequence);
  return sequence;
}

// To the instance that has the fewest sequences.
void SequenceBatcher::fill_slots() {
  while (!backlog_.empty()) {
    const auto free = [](const Slots& slots) { return std::ranges::count(slots, nullptr); };
    const auto emptiest = std::ranges::max_element(slots_, {}, free);
    const auto slot = std::ranges::find(*emptiest, nullptr);
    if (slot == emptiest->end()) return;
    *slot = backlog_.front();
    (*slot)->has_slot = true;
    backlog_.pop_front();
  }
}

void SequenceBatcher::drop_idle(SchedulerClock::time_point now) {
  const auto is_idle = [&](const SequencePointer& sequence) {
    return sequence != nullptr && sequence->waiting.empty() && !sequence->is_running &&
           now - sequence->last_use >= batching_.max_sequence_idle;
  };
  std::erase_if(active_, [&](const auto& named) { return is_idle(named.second); });
  for (Slots& slots : slots_) std::ranges::replace_if(slots, is_idle, nullptr);
  fill_slots();
}

std::optional<SchedulerClock::time_point> SequenceBatcher::next_idle(const Slots& slots) const {
  std::optional<SchedulerClock::time_point> next;
  for (const SequencePointer& sequence : slots) {
    if (sequence == nullptr || !sequence->waiting.empty() || sequence->is_running) continue;
    const auto idle = sequence->last_use + batching_.max_sequence_idle;
    next = std::min(next.value_or(idle), idle);
  }
  return next;
}

void SequenceBatcher::drop_cancelled(Slots& slots, std::vector<PendingRequest>& dropped) {
  for (SequencePointer& sequence : slots) {
    if (sequence == nullptr) continue;
    std::deque<Step> kept;
    for (Step& step : sequence->waiting) {
      if (step.request.cancelled()) {
        dropped.push_back(std::move(step.request));
      } else {
        kept.push_back(std::move(step));
      }
    }
    sequence->waiting.swap(kept);
    const bool over = sequence->is_ending && sequence->waiting.empty() && !sequence->is_running;
    if (over) sequence = nullptr;
  }
  fill_slots();
}

std::vector<size_t> SequenceBatcher::ready_slots(const Slots& slots) const {
  std::vector<size_t> ready;
  for (size_t i = 0; i < slots.size(); ++i) {
    if (slots[i] != nullptr && !slots[i]->waiting.empty() && !slots[i]->is_running) ready.push_back(i);
  }
  const auto first = [&](size_t i) -> const PendingRequest& { return slots[i]->waiting.front().request; };
  std::ranges::stable_sort(ready, {}, [&](size_t i) { return first(i).arrival; });
  if (ready.empty()) return ready;
  const std::string compatibility = first(ready.front()).compatibility;
  const auto states = next_state_shapes(*slots[ready.front()]);
  std::erase_if(ready, [&](size_t i) {
    return first(i).compatibility != compatibility || next_state_shapes(*slots[i]) != states;
  });
  if (ready.size() > batch_limit_) ready.resize(batch_limit_);
  return ready;
}

std::vector<std::vector<int64_t>> SequenceBatcher::next_state_shapes(const Sequence& sequence) const {
  std::vector<std::vector<int64_t>> shapes;
  if (sequence.waiting.front().identity.start || sequence.states.empty()) {
    for (const SequenceState& state : batching_.states) {
      shapes.push_back(initial_shape(state, has_batch_dimension()));
    }
  } else {
    for (const Tensor& state : sequence.states) shapes.push_back(state.shape);
  }
  return shapes;
}

size_t SequenceBatcher::count_to_run(const std::vector<size_t>& ready, const Slots& slots,
                                     SchedulerClock::time_point now,
                                     std::optional<SchedulerClock::time_point>& wake) const {
  if (ready.empty()) return 0;
  const auto ripens = slots[ready.front()]->waiting.front().request.arrival + batching_.max_queue_delay;
  bool enough = now >= ripens || ready.size() == batch_limit_;
  if (batching_.strategy == SequenceBatching::Strategy::kDirect) {
    const double used = static_cast<double>(ready.size()) / static_cast<double>(slots.size());
    enough = enough || used >= batching_.minimum_slot_utilization;
  } else {
    size_t preferred = 0;
    for (const int64_t size : batching_.preferred_batch_size) {
      if (static_cast<size_t>(size) <= ready.size())
        preferred = std::max(preferred, static_cast<size_t>(size));
    }
    if (preferred != 0) return preferred;
  }
  if (enough) return ready.size();
  wake = ripens;
  return 0;
}

Assignment SequenceBatcher::poll(size_t instance, SchedulerClock::time_point now) {
  Assignment assignment;
  drop_idle(now);
  Slots& slots = slots_[instance];
  drop_cancelled(slots, assignment.dropped);
  std::vector<size_t> ready = ready_slots(slots);
  ready.resize(count_to_run(ready, slots, now, assignment.wake));
  if (ready.empty()) {
    if (!backlog_.empty() && !assignment.wake) assignment.wake = next_idle(slots);
    return assignment;
  }
  if (batching_.strategy == SequenceBatching::Strategy::kDirect) std::ranges::sort(ready);
  for (const size_t slot : ready) {
    const bool pads = batching_.strategy == SequenceBatching::Strategy::kDirect;
    PendingRequest next = take(slots[slot]);
    while (pads && assignment.batch.size() < slot) assignment.batch.push_back(padding_like(next));
    assignment.batch.push_back(std::move(next));
  }
  return assignment;
}

PendingRequest SequenceBatcher::take(const SequencePointer& sequence) {
  Step step = std::move(sequence->waiting.front());
  sequence->waiting.pop_front();
  sequence->is_running = true;
  if (step.identity.start || sequence->states.empty()) {
    sequence->states.clear();
    for (const SequenceState& state : batching_.states) {
      sequence->states.push_back(initial_state(state, has_batch_dimension()));
    }
  }
  Running running{sequence, batching_.iterative ? step : Step()};
  step.request.request = with_tensors(*step.request.request, step.identity, *sequence);
  running_.insert_or_assign(step.request.request.get(), std::move(running));
  return std::move(step.request);
}

std::shared_ptr<const InferRequest> SequenceBatcher::with_tensors(const InferRequest& request,
                                                                  const SequenceIdentity& identity,
                                                                  const Sequence& sequence) const {
  auto whole = std::make_shared<InferRequest>(request);
  for (const SequenceControl& control : batching_.controls) {
    whole->inputs.push_back(*control_tensor(control, identity, true, has_batch_dimension()));
  }
  for (const Tensor& state : sequence.states) whole->inputs.push_back(state);
  if (!whole->requested_outputs.empty()) {
    for (const SequenceState& state : batching_.states) whole->requested_outputs.push_back(state.output_name);
  }
  return whole;
}

// The other request's inputs, with all controls off.
PendingRequest SequenceBatcher::padding_like(const PendingRequest& other) const {
  PendingRequest padding;
  padding.is_padding = true;
  padding.arrival = other.arrival;
  auto request = std::make_shared<InferRequest>();
  request->requested_outputs = other.request->requested_outputs;
  request->parameters = other.request->parameters;
  request->inputs = other.request->inputs;
  for (const SequenceControl& control : batching_.controls) {
    if (control.kind == SequenceControl::Kind::kCorrelationId) continue;
    const auto off = control_tensor(control, {}, false, has_batch_dimension());
    for (Tensor& input : request->inputs) {
      if (off.ok() && input.name == control.name) input = *off;
    }
  }
  padding.request = std::move(request);
  return padding;
}

std::vector<bool> SequenceBatcher::executed(const std::vector<PendingRequest>& batch,
                                            std::vector<InferResponse>* responses,
                                            const std::vector<bool>& again, SchedulerClock::time_point now) {
  std::vector<bool> waits(batch.size());
  for (size_t i = 0; i < batch.size(); ++i) {
    const auto found = running_.find(batch[i].request.get());
    if (found == running_.end()) continue;
    const SequencePointer sequence = found->second.sequence;
    Step step = std::move(found->second.step);
    running_.erase(found);
    sequence->is_running = false;
    sequence->last_use = now;
    if (responses != nullptr) keep_states(*sequence, (*responses)[i]);
    waits[i] = responses != nullptr && batching_.iterative && i < again.size() && again[i];
    if (waits[i]) {
      step.identity.start = false;
      step.request.arrival = now;
      sequence->waiting.push_front(std::move(step));
    }
    if (!sequence->is_ending || !sequence->waiting.empty()) continue;
    for (Slots& slots : slots_) std::ranges::replace(slots, sequence, SequencePointer());
  }
  fill_slots();
  return waits;
}

void SequenceBatcher::keep_states(Sequence& sequence, InferResponse& response) const {
  for (size_t i = 0; i < batching_.states.size(); ++i) {
    const SequenceState& state = batching_.states[i];
    const auto output = std::ranges::find(response.outputs, state.output_name, &Tensor::name);
    if (output == response.outputs.end()) continue;
    sequence.states[i] = std::move(*output);
    sequence.states[i].name = state.input_name;
    response.outputs.erase(output);
  }
}

std::vector<PendingRequest> SequenceBatcher::close() {
  std::vector<PendingRequest> left;
  const auto take_all = [&](const SequencePointer& sequence) {
    if (sequence == nullptr) return;
    for (Step& step : std::exchange(sequence->waiting, {})) left.push_back(std::move(step.request));
  };
  for (const Slots& slots : slots_) std::ranges::for_each(slots, take_all);
  std::ranges::for_each(backlog_, take_all);
  active_.clear();
  backlog_.clear();
  return left;
}

}  // namespace zeta::serving
