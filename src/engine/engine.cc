// The engine's border: arrival, encoding, the end.
#include "src/engine/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <limits>
#include <stdexcept>
#include <utility>

namespace zeta::engine {
namespace {

absl::Status client_gone() { return absl::CancelledError("the client has gone"); }

}  // namespace

Engine::Engine(std::unique_ptr<ModelRunner> runner, PromptEncoder encoder, GenerationConfig generation,
               EngineLimits limits)
    : runner_(std::move(runner)),
      encoder_(std::move(encoder)),
      generation_(std::move(generation)),
      limits_(limits),
      scheduler_(limits.scheduler) {
  if (limits.scheduler.kv_cache_tokens < runner_->max_model_len()) {
    throw std::invalid_argument(fmt::format("expected a cache for at least max_model_len = {} tokens, got {}",
                                            runner_->max_model_len(), limits.scheduler.kv_cache_tokens));
  }
  if (limits.scheduler.max_num_batched_tokens < limits.scheduler.max_num_seqs) {
    throw std::invalid_argument(fmt::format("expected max_num_batched_tokens ≥ max_num_seqs = {}, got {}",
                                            limits.scheduler.max_num_seqs,
                                            limits.scheduler.max_num_batched_tokens));
  }
  engine_thread_ = std::thread([this] { run_engine(); });
  intake_thread_ = std::thread([this] { run_intake(); });
}

Engine::~Engine() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  intake_thread_.join();
  engine_thread_.join();
  for (auto* queue : {&inbox_, &encoded_}) {
    for (auto& sequence : *queue) scheduler_.add(std::move(sequence));
  }
  for (auto& sequence : scheduler_.remove_if([](const Sequence&) { return true; })) {
    fail(*sequence, absl::UnavailableError("the model is being unloaded"));
  }
}

void Engine::submit(Request request, OutputCallback output) {
  auto sequence = std::make_unique<Sequence>();
  sequence->request = std::move(request);
  sequence->output = std::move(output);
  absl::Status status = validate(sequence->request.sampling);
  if (status.ok()) {
    MutexLock lock(mutex_);
    if (waiting_ >= limits_.max_waiting) {
      status = absl::ResourceExhaustedError(
          fmt::format("{} requests are waiting, the limit; try again later", waiting_));
    } else {
      stats_.requests_waiting = ++waiting_;
      inbox_.push_back(std::move(sequence));
    }
  }
  status.ok() ? changed_.notify_all() : fail(*sequence, std::move(status));
}

void Engine::run_intake() {
  while (std::unique_ptr<Sequence> sequence = next_arrival()) {
    absl::Status status = prepare(*sequence);
    if (!status.ok()) {
      leave_queue();
      fail(*sequence, std::move(status));
      continue;
    }
    {
      MutexLock lock(mutex_);
      encoded_.push_back(std::move(sequence));
    }
    changed_.notify_all();
  }
}

std::unique_ptr<Sequence> Engine::next_arrival() {
  MutexLock lock(mutex_);
  while (!stopping_ && inbox_.empty()) changed_.wait(mutex_);
  if (stopping_) return nullptr;
  auto sequence = std::move(inbox_.front());
  inbox_.pop_front();
  return sequence;
}

absl::Status Engine::prepare(Sequence& sequence) try {
  if (sequence.request.cancelled()) return client_gone();
  auto ids = encoder_.encode(sequence.request, runner_->vocab_size(), runner_->max_model_len());
  if (!ids.ok()) return ids.status();
  sequence.tokens = std::move(*ids);
  return begin_completion(sequence);
} catch (const std::exception& error) {
  return absl::InternalError(error.what());
}

absl::Status Engine::begin_completion(Sequence& sequence) {
  const auto prompt = static_cast<int64_t>(sequence.tokens.size());
  const int64_t room = runner_->max_model_len() - prompt;
  if (room < 1) {
    return absl::OutOfRangeError(
        fmt::format("expected a prompt of at most {} tokens (the context less one for the answer), got {}",
                    runner_->max_model_len() - 1, prompt));
  }
  const SamplingParams& params = sequence.request.sampling;
  const int64_t answer = std::min(room, params.max_tokens.value_or(std::numeric_limits<int64_t>::max()));
  sequence.max_tokens = prompt + answer;
  const uint64_t seed = (uint64_t{seeds_()} << 32) | seeds_();
  sequence.completion.emplace(encoder_.tokenizer(), params, sequence.tokens,
                              Completion::Limits{answer, &generation_.eos_ids}, seed);
  return absl::OkStatus();
}

void Engine::leave_queue() {
  MutexLock lock(mutex_);
  stats_.requests_waiting = --waiting_;
}

void Engine::drop_departed() {
  const auto gone = scheduler_.remove_if([](const Sequence& s) { return s.request.cancelled(); });
  for (const auto& sequence : gone) {
    if (!sequence->cache) leave_queue();
    fail(*sequence, client_gone());
  }
}

void Engine::send(Sequence& sequence, Output output) {
  const bool failed = !output.status.ok();
  sequence.done = failed || output.finish_reason.has_value();
  if (sequence.done) ++(failed ? stats_.requests_failed : stats_.requests_finished);
  try {
    sequence.output(std::move(output));
  } catch (...) {
    // Whoever listened cannot; there is nobody to tell.
    sequence.done = true;
  }
}

void Engine::fail(Sequence& sequence, absl::Status status) {
  Output output;
  output.status = std::move(status);
  send(sequence, std::move(output));
}

}  // namespace zeta::engine
