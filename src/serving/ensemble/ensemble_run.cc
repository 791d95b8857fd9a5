#include "src/serving/ensemble/ensemble_run.h"

#include <algorithm>
#include <span>
#include <utility>

#include "src/base/concat.h"
#include "src/serving/request_trace.h"
#include "src/serving/tensor.h"

namespace zeta::serving {
namespace {

// A tensor's shape for a model of the other kind, with or without batches: where the two shapes differ by
// the batch dimension alone, a batch of one is made or dissolved.
std::vector<int64_t> adapt(std::vector<int64_t> shape, bool is_batched, const TensorMetadata& to,
                           bool to_batched) {
  if (is_batched == to_batched) return shape;
  const auto dims = std::span(to.shape).subspan(to_batched && !to.shape.empty() ? 1 : 0);
  const bool fits =
      std::ranges::equal(dims, shape, [](int64_t want, int64_t have) { return want == have || want < 0; });
  if (to_batched && fits) shape.insert(shape.begin(), 1);
  if (!to_batched && !fits && !shape.empty() && shape.front() == 1) shape.erase(shape.begin());
  return shape;
}

const TensorMetadata* find(const std::vector<TensorMetadata>& tensors, const std::string& name) {
  const auto found = std::ranges::find(tensors, name, &TensorMetadata::name);
  return found == tensors.end() ? nullptr : &*found;
}

void add(RequestPhases& total, const RequestPhases& phases) {
  total.compute_input += phases.compute_input;
  total.compute_infer += phases.compute_infer;
  total.compute_output += phases.compute_output;
}

// The tensor, whose memory is shared, under the name and in the shape that `to` has.
Tensor adapted(Tensor tensor, bool is_batched, const TensorMetadata& to, bool to_batched) {
  tensor.name = to.name;
  tensor.shape = adapt(std::move(tensor.shape), is_batched, to, to_batched);
  return tensor;
}

}  // namespace

class EnsembleRun::Sink final : public ResponseSink {
 public:
  Sink(std::shared_ptr<EnsembleRun> run, size_t step, uint64_t round)
      : run_(std::move(run)), step_(step), round_(round) {}
  void send(InferResponse response) override { run_->receive(step_, round_, std::move(response)); }

 private:
  const std::shared_ptr<EnsembleRun> run_;
  const size_t step_;
  const uint64_t round_;
};

EnsembleRun::EnsembleRun(std::shared_ptr<const EnsembleContext> context,
                         std::shared_ptr<const InferRequest> request, std::shared_ptr<ResponseSink> sink)
    : context_(std::move(context)),
      request_(std::move(request)),
      sink_(std::move(sink)),
      responses_(context_->plan.steps.size()) {}

void EnsembleRun::start() {
  const absl::Status found = find_members();
  {
    MutexLock lock(mutex_);
    if (!found.ok()) {
      fail(found);
    } else {
      connect();
      std::set<std::pair<size_t, uint64_t>> ready;
      put_inputs(ready);
      go_on(ready, std::nullopt);
    }
  }
  drive();
}

absl::Status EnsembleRun::find_members() {
  for (const EnsembleStep& step : context_->plan.steps) {
    auto member = context_->members->model(step.model, step.version);
    if (!member.ok()) return member.status();
    members_.push_back(*std::move(member));
  }
  return absl::OkStatus();
}

bool EnsembleRun::is_requested(const std::string& output) const {
  const auto& wanted = request_->requested_outputs;
  return find(context_->metadata.outputs, output) != nullptr &&
         (wanted.empty() || std::ranges::find(wanted, output) != wanted.end());
}

// Those without which a requested output cannot be made.
std::vector<bool> EnsembleRun::needed_steps() const {
  const auto& steps = context_->plan.steps;
  std::vector<bool> needed(steps.size());
  std::set<std::string> tensors;
  for (bool found = true; found;) {
    found = false;
    for (size_t i = 0; i < steps.size(); ++i) {
      if (needed[i]) continue;
      needed[i] = std::ranges::any_of(steps[i].outputs, [&](const auto& pair) {
        return is_requested(pair.second) || tensors.contains(pair.second);
      });
      if (!needed[i]) continue;
      found = true;
      for (const auto& [name, tensor] : steps[i].inputs) tensors.insert(tensor);
    }
  }
  return needed;
}

void EnsembleRun::connect() {
  const auto& steps = context_->plan.steps;
  const std::vector<bool> needed = needed_steps();
  for (size_t i = 0; i < steps.size(); ++i) {
    if (!needed[i]) continue;
    for (const auto& [name, tensor] : steps[i].inputs) wires_[tensor].readers.insert(i);
  }
  for (const TensorMetadata& output : context_->metadata.outputs) {
    if (is_requested(output.name)) wires_[output.name].is_answer = true;
  }
}

void EnsembleRun::put_inputs(std::set<std::pair<size_t, uint64_t>>& ready) {
  for (const TensorMetadata& input : context_->metadata.inputs) {
    const Tensor* given = find_tensor(request_->inputs, input.name);
    Value value;
    if (given != nullptr) value.tensor = *given;
    value.is_batched = context_->metadata.batched();
    put(input.name, 0, std::move(value), ready);
  }
}

void EnsembleRun::put(const std::string& name, uint64_t round, Value value,
                      std::set<std::pair<size_t, uint64_t>>& ready) {
  const auto wire = wires_.find(name);
  if (wire == wires_.end()) return;  // nobody reads it
  value.uses = wire->second.readers.size() + (wire->second.is_answer ? 1 : 0);
  wire->second.rounds.emplace(round, std::move(value));
  for (const size_t step : wire->second.readers) {
    bool complete = true;
    for (const auto& [input, tensor] : context_->plan.steps[step].inputs) {
      complete = complete && wires_.at(tensor).rounds.contains(round);
    }
    if (complete) ready.emplace(step, round);
  }
}

EnsembleRun::Value EnsembleRun::use(Wire& wire, uint64_t round) {
  const auto found = wire.rounds.find(round);
  if (--found->second.uses > 0) return found->second;
  Value last = std::move(found->second);
  wire.rounds.erase(found);
  return last;
}

std::shared_ptr<InferRequest> EnsembleRun::make_request(size_t step, uint64_t round) {
  const EnsembleStep& plan = context_->plan.steps[step];
  const ModelMetadata& member = members_[step]->metadata();
  auto request = std::make_shared<InferRequest>();
  request->id = request_->id;
  request->parameters = request_->parameters;
  request->cancellation = request_->cancellation;
  if (request_->trace != nullptr) request->trace = request_->trace->child();
  std::map<std::string, Value> values;  // a tensor may be several inputs
  for (const auto& [name, tensor] : plan.inputs) {
    if (!values.contains(tensor)) values.emplace(tensor, use(wires_.at(tensor), round));
    const Value& value = values.at(tensor);
    if (!value.tensor) continue;
    Tensor input = *value.tensor;
    input.name = name;
    if (const TensorMetadata* expected = find(member.inputs, name)) {
      input.shape = adapt(std::move(input.shape), value.is_batched, *expected, member.batched());
    }
    request->inputs.push_back(std::move(input));
  }
  for (const auto& [name, tensor] : plan.outputs) request->requested_outputs.push_back(name);
  return request;
}

// None while an output of the round is not there.
std::optional<InferResponse> EnsembleRun::make_answer(uint64_t round) {
  const auto is_missing = [&](const auto& wire) {
    return wire.second.is_answer && !wire.second.rounds.contains(round);
  };
  if (std::ranges::any_of(wires_, is_missing)) return std::nullopt;
  InferResponse answer;
  for (const TensorMetadata& output : context_->metadata.outputs) {
    if (!is_requested(output.name)) continue;
    const Value value = use(wires_.at(output.name), round);
    if (value.tensor.has_value()) {
      answer.outputs.push_back(
          adapted(*value.tensor, value.is_batched, output, context_->metadata.batched()));
    }
  }
  return answer;
}

void EnsembleRun::receive(size_t step, uint64_t round, InferResponse response) {
  if (response.final) context_->gates[step]->leave();
  {
    MutexLock lock(mutex_);
    if (response.final) {
      --in_flight_;
      add(phases_, response.phases);
    }
    if (ended_) return;
    if (!response.status.ok()) {
      fail(response.status);
    } else {
      std::set<std::pair<size_t, uint64_t>> ready;
      std::optional<InferResponse> answer;
      const bool decoupled = members_[step]->metadata().decoupled;
      const bool only_ends = decoupled && response.final && response.outputs.empty();
      if (!only_ends) {
        const uint64_t made = decoupled ? responses_[step]++ : round;
        keep_outputs(step, made, response, ready);
        const auto& outputs = context_->plan.steps[step].outputs;
        if (std::ranges::any_of(outputs, [&](const auto& pair) { return is_requested(pair.second); })) {
          answer = make_answer(made);
        }
      }
      go_on(ready, std::move(answer));
    }
  }
  drive();
}

void EnsembleRun::keep_outputs(size_t step, uint64_t round, InferResponse& response,
                               std::set<std::pair<size_t, uint64_t>>& ready) {
  for (const auto& [name, tensor] : context_->plan.steps[step].outputs) {
    Value value;
    value.is_batched = members_[step]->metadata().batched();
    const auto given = std::ranges::find(response.outputs, name, &Tensor::name);
    if (given != response.outputs.end()) value.tensor = std::move(*given);
    put(tensor, round, std::move(value), ready);
  }
}

void EnsembleRun::go_on(const std::set<std::pair<size_t, uint64_t>>& ready,
                        std::optional<InferResponse> answer) {
  for (const auto& [step, round] : ready) {
    actions_.emplace_back(Start{step, round, make_request(step, round)});
    ++in_flight_;
  }
  if (answer) {
    answered_ = true;
    answer->final = in_flight_ == 0;
    if (answer->final) return finish(*std::move(answer));
    actions_.emplace_back(*std::move(answer));
    return;
  }
  if (in_flight_ > 0) return;
  if (answered_ || context_->metadata.decoupled) return finish({});
  fail(absl::InvalidArgumentError(
      "unexpected deadlock, at least one output is not set while no more ensemble steps can be made"));
}

void EnsembleRun::finish(InferResponse response) {
  ended_ = true;
  const bool batched = context_->metadata.batched() && !request_->inputs.empty();
  context_->statistics->execution(batched ? request_->inputs.front().shape.front() : 1,
                                  {std::chrono::nanoseconds(0)}, phases_);
  response.phases = phases_;
  wires_.clear();
  actions_.emplace_back(std::move(response));
}

void EnsembleRun::fail(const absl::Status& status) {
  ended_ = true;
  InferResponse response;
  response.status = absl::Status(
      status.code(), concat("in ensemble '", context_->plan.name, "', ", std::string(status.message())));
  wires_.clear();
  std::erase_if(actions_, [](const Action& action) { return std::holds_alternative<Start>(action); });
  actions_.emplace_back(std::move(response));
}

bool EnsembleRun::has_ended() {
  MutexLock lock(mutex_);
  return ended_;
}

void EnsembleRun::drive() {
  {
    MutexLock lock(mutex_);
    if (std::exchange(driving_, true)) return;
  }
  while (true) {
    Action action;
    {
      MutexLock lock(mutex_);
      if (actions_.empty()) {
        driving_ = false;
        return;
      }
      action = std::move(actions_.front());
      actions_.pop_front();
    }
    if (auto* response = std::get_if<InferResponse>(&action)) {
      sink_->send(std::move(*response));
    } else {
      begin(std::get<Start>(std::move(action)));
    }
  }
}

void EnsembleRun::begin(Start start) {
  StepGate& gate = *context_->gates[start.step];
  gate.enter([self = shared_from_this(), start = std::move(start)] {
    auto sink = std::make_shared<Sink>(self, start.step, start.round);
    if (self->request_->cancellation->cancelled()) {
      InferResponse response;
      response.status = absl::CancelledError("Request cancelled");
      return sink->send(std::move(response));
    }
    if (self->has_ended()) return self->context_->gates[start.step]->leave();
    self->members_[start.step]->infer(start.request, std::move(sink));
  });
}

}  // namespace zeta::serving
