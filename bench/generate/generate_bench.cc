// Time to first token and decoding speed of the engine, without a server.
//
//   generate_bench FOLDER THREADS SEQUENCES PROMPT_TOKENS NEW_TOKENS REPEATS
//
// prints the best of REPEATS as one JSON line.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "src/engine/engine.h"
#include "src/engine/llama_runner.h"
#include "src/nn/llama.h"

namespace {

using namespace zeta;
using Clock = std::chrono::steady_clock;

struct Setting {
  int64_t sequences, prompt_tokens, new_tokens;
};

struct Times {
  double first_token = 0.0,
         all = 0.0;  // seconds since submission; first_token of the last sequence to get one
};

engine::Request make_request(const Setting& setting, int64_t index, int64_t vocab_size) {
  std::vector<int32_t> prompt;
  for (int64_t i = 0; i < setting.prompt_tokens; ++i) {
    prompt.push_back(static_cast<int32_t>((7919 * i + 31 * index) % vocab_size));
  }
  engine::Request request;
  request.prompt = engine::TokenPrompt{std::move(prompt)};
  request.sampling.temperature = 0.0;
  request.sampling.max_tokens = setting.new_tokens;
  request.sampling.ignore_eos = true;
  return request;
}

Times run_once(engine::Engine& engine, const Setting& setting, int64_t vocab_size) {
  const auto start = Clock::now();
  const auto elapsed = [start] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  std::vector<std::promise<double>> done(static_cast<size_t>(setting.sequences));
  const int64_t first_before = engine.stats().first_tokens;
  for (int64_t i = 0; i < setting.sequences; ++i) {
    engine.submit(make_request(setting, i, vocab_size), [&, i](engine::Output output) {
      if (!output.status.ok()) std::fprintf(stderr, "%s\n", output.status.ToString().c_str()), std::exit(1);
      if (output.finish_reason) done[static_cast<size_t>(i)].set_value(elapsed());
    });
  }
  Times times;
  while (engine.stats().first_tokens < first_before + setting.sequences) {
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  times.first_token = elapsed();
  for (auto& promise : done) times.all = std::max(times.all, promise.get_future().get());
  return times;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) {
    std::fprintf(stderr, "usage: %s FOLDER THREADS SEQUENCES PROMPT_TOKENS NEW_TOKENS REPEATS\n", argv[0]);
    return 2;
  }
  const std::string folder = argv[1];
  const Setting setting{std::atoll(argv[3]), std::atoll(argv[4]), std::atoll(argv[5])};
  const auto model = std::make_shared<const nn::LlamaModel>(folder);
  auto runner = engine::make_llama_runner(model, {.num_threads = std::atoll(argv[2])});
  auto encoder = engine::PromptEncoder::load(folder);
  if (!encoder.ok()) return std::fprintf(stderr, "%s\n", encoder.status().ToString().c_str()), 1;
  const int64_t context = runner->max_model_len(), vocab_size = runner->vocab_size();
  engine::Engine engine(
      std::move(runner), std::move(*encoder), {},
      {{setting.sequences, std::max<int64_t>(128, setting.sequences), setting.sequences * context},
       setting.sequences + 1});
  Times best{1e9, 1e9};
  for (int i = 0; i < std::atoi(argv[6]); ++i) {
    const Times times = run_once(engine, setting, vocab_size);
    if (times.all < best.all) best = times;
  }
  const double tokens = static_cast<double>(setting.sequences * (setting.new_tokens - 1));
  std::printf("{\"first_token_ms\": %.2f, \"decode_tokens_per_s\": %.1f, \"resident_weight_mb\": %.2f}\n",
              best.first_token * 1e3, tokens / (best.all - best.first_token),
              static_cast<double>(model->resident_weight_bytes()) / 1e6);
}
