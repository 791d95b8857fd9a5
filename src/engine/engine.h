// Generation with continuous batching: at every step each running sequence contributes the tokens that its
// model has not seen, and all of them pass the model as one batch.
#pragma once

#include <deque>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "src/base/mutex.h"
#include "src/engine/engine_stats.h"
#include "src/engine/generation_config.h"
#include "src/engine/model_runner.h"
#include "src/engine/prompt_encoder.h"
#include "src/engine/request.h"
#include "src/engine/scheduler.h"

namespace zeta::engine {

struct EngineLimits {
  SchedulerLimits scheduler;
  int64_t max_waiting;  // requests that have arrived and do not run yet
};

// Two threads: the intake encodes prompts, the engine's owns the model. A request that fails, fails alone; a
// step of the model that fails, fails the sequences in it. Nothing that goes wrong in a request ends the
// process.
class Engine {
 public:
  Engine(std::unique_ptr<ModelRunner> runner, PromptEncoder encoder, GenerationConfig generation,
         EngineLimits limits);
  // Answers everything in flight with Unavailable.
  ~Engine();

  // Thread-safe; returns at once. Every outcome reaches `output`: ResourceExhausted when max_waiting are
  // waiting, InvalidArgument for bad parameters, OutOfRange for a prompt too long, Cancelled, Internal.
  void submit(Request request, OutputCallback output) ZETA_EXCLUDES(mutex_);

  const EngineStats& stats() const { return stats_; }
  const GenerationConfig& generation() const { return generation_; }
  const text::Tokenizer& tokenizer() const { return encoder_.tokenizer(); }

 private:
  void run_intake() ZETA_EXCLUDES(mutex_);
  std::unique_ptr<Sequence> next_arrival() ZETA_EXCLUDES(mutex_);  // waits for one; null: stop
  absl::Status prepare(Sequence& sequence);
  absl::Status begin_completion(Sequence& sequence);
  void leave_queue() ZETA_EXCLUDES(mutex_);

  void run_engine();
  bool collect() ZETA_EXCLUDES(mutex_);  // waits for work; false: stop
  void drop_departed();
  void admit();
  void step();
  bool reserve(const Scheduler::Chunk& chunk);
  void forward(const std::vector<Scheduler::Chunk>& chunks);
  void accept(Sequence& sequence, std::span<const float> logits);
  void abandon_running(const absl::Status& status);
  void publish();

  void send(Sequence& sequence, Output output);
  void fail(Sequence& sequence, absl::Status status);

  std::unique_ptr<ModelRunner> runner_;
  PromptEncoder encoder_;
  GenerationConfig generation_;
  EngineLimits limits_;
  EngineStats stats_;

  Mutex mutex_;
  CondVar changed_;
  bool stopping_ ZETA_GUARDED_BY(mutex_) = false;
  int64_t waiting_ ZETA_GUARDED_BY(mutex_) = 0;  // submitted, not yet running or answered
  std::deque<std::unique_ptr<Sequence>> inbox_ ZETA_GUARDED_BY(mutex_);    // to be encoded
  std::deque<std::unique_ptr<Sequence>> encoded_ ZETA_GUARDED_BY(mutex_);  // for the engine's thread

  Scheduler scheduler_;       // the engine thread's alone
  std::random_device seeds_;  // the intake's alone
  std::thread engine_thread_, intake_thread_;
};

}  // namespace zeta::engine
