// The engine's thread: admit, step, answer.
#include <fmt/format.h>

#include <exception>
#include <utility>

#include "src/engine/engine.h"

namespace zeta::engine {
namespace {

using Clock = std::chrono::steady_clock;

int64_t microseconds_since(Clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start).count();
}

absl::Status no_cache(const std::exception& error) {
  return absl::ResourceExhaustedError(fmt::format("no memory for the cache: {}", error.what()));
}

}  // namespace

void Engine::run_engine() {
  runner_->enter_thread();
  while (collect()) {
    try {
      drop_departed();
      admit();
      step();
      publish();
    } catch (const std::exception& error) {
      abandon_running(absl::InternalError(error.what()));
    }
  }
}

bool Engine::collect() {
  MutexLock lock(mutex_);
  while (!stopping_ && encoded_.empty() && scheduler_.num_running() + scheduler_.num_waiting() == 0) {
    changed_.wait(mutex_);
  }
  for (auto& sequence : encoded_) scheduler_.add(std::move(sequence));
  encoded_.clear();
  return !stopping_;
}

void Engine::admit() {
  while (std::unique_ptr<Sequence> sequence = scheduler_.admit()) {
    leave_queue();
    try {
      sequence->cache = runner_->make_cache(sequence->max_tokens);
    } catch (const std::exception& error) {
      fail(*sequence, no_cache(error));
      continue;
    }
    scheduler_.run(std::move(sequence));
  }
}

void Engine::step() {
  std::vector<Scheduler::Chunk> chunks = scheduler_.plan();
  std::erase_if(chunks, [this](const Scheduler::Chunk& chunk) { return !reserve(chunk); });
  if (!chunks.empty()) forward(chunks);
  scheduler_.remove_if([](const Sequence& sequence) { return sequence.done; });
}

bool Engine::reserve(const Scheduler::Chunk& chunk) try {
  chunk.sequence->cache->reserve(chunk.sequence->cache->size() + static_cast<int64_t>(chunk.tokens.size()));
  return true;
} catch (const std::exception& error) {
  fail(*chunk.sequence, no_cache(error));
  return false;
}

void Engine::forward(const std::vector<Scheduler::Chunk>& chunks) {
  const Clock::time_point start = Clock::now();
  std::vector<RunnerInput> inputs;
  for (const Scheduler::Chunk& chunk : chunks) {
    inputs.push_back({chunk.sequence->cache.get(), chunk.tokens, chunk.last});
  }
  std::span<const float> logits;
  try {
    logits = runner_->forward(inputs);
  } catch (const std::exception& error) {
    ++stats_.failed_steps;
    for (const Scheduler::Chunk& chunk : chunks) {
      fail(*chunk.sequence, absl::InternalError(fmt::format("the model failed: {}", error.what())));
    }
    return;
  }
  ++stats_.steps;
  stats_.step_time_us += microseconds_since(start);
  const auto vocab_size = static_cast<size_t>(runner_->vocab_size());
  for (const Scheduler::Chunk& chunk : chunks) {
    if (!chunk.last) continue;
    accept(*chunk.sequence, logits.first(vocab_size));
    logits = logits.subspan(vocab_size);
  }
}

void Engine::accept(Sequence& sequence, std::span<const float> logits) {
  const bool first = sequence.completion->completion_tokens() == 0;
  const absl::StatusOr<int32_t> token = sequence.completion->step(logits);
  if (!token.ok()) return fail(sequence, token.status());
  if (first) {
    ++stats_.first_tokens;
    stats_.time_to_first_token_us += microseconds_since(sequence.arrived);
    stats_.prompt_tokens += static_cast<int64_t>(sequence.tokens.size());
  }
  ++stats_.generation_tokens;
  sequence.tokens.push_back(*token);
  if (auto output = sequence.completion->take_output()) send(sequence, std::move(*output));
}

void Engine::abandon_running(const absl::Status& status) {
  for (auto& sequence : scheduler_.remove_if([](const Sequence& s) { return s.cache != nullptr; })) {
    if (!sequence->done) fail(*sequence, status);
  }
  publish();
}

void Engine::publish() {
  int64_t bytes = 0;
  for (const auto& sequence : scheduler_.running()) bytes += static_cast<int64_t>(sequence->cache->bytes());
  stats_.kv_bytes = bytes;
  stats_.kv_reserved_tokens = scheduler_.reserved_tokens();
  stats_.requests_running = static_cast<int64_t>(scheduler_.num_running());
}

}  // namespace zeta::engine
