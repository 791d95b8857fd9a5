#include "src/backends/torch/settings.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <torch/csrc/jit/passes/tensorexpr_fuser.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/runtime/profiling_graph_executor_impl.h>

#include <charconv>
#include <functional>
#include <map>
#include <mutex>

#include "src/base/concat.h"

namespace zeta::torch_backend {
namespace {

using Setter = std::function<bool(const std::string&)>;

template <class Flag>
Setter flag(Flag& field) {
  return [&field](const std::string& text) {
    const bool on = text == "true" || text == "1" || text == "True";
    if (!on && text != "false" && text != "0" && text != "False") return false;
    field = on;
    return true;
  };
}

Setter count(std::optional<int>& field) {
  return [&field](const std::string& text) {
    int value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value < 1 || value > 4096) return false;
    field = value;
    return true;
  };
}

std::map<std::string, Setter> setters_of(Settings& settings) {
  return {{"DISABLE_OPTIMIZED_EXECUTION", flag(settings.disable_optimized_execution)},
          {"INFERENCE_MODE", flag(settings.inference_mode)},
          {"DISABLE_CUDNN", flag(settings.disable_cudnn)},
          {"ENABLE_WEIGHT_SHARING", flag(settings.enable_weight_sharing)},
          {"ENABLE_CACHE_CLEANING", flag(settings.enable_cache_cleaning)},
          {"INTRA_OP_THREAD_COUNT", count(settings.intra_op_thread_count)},
          {"INTER_OP_THREAD_COUNT", count(settings.inter_op_thread_count)},
          {"ENABLE_JIT_EXECUTOR", flag(settings.enable_jit_executor)},
          {"ENABLE_JIT_PROFILING", flag(settings.enable_jit_profiling)}};
}

std::string to_text(const serving::Parameter& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  if (const auto* number = std::get_if<int64_t>(&value)) return std::to_string(*number);
  if (const auto* on = std::get_if<bool>(&value)) return *on ? "true" : "false";
  return "";
}

// What the first model decided; nothing while none has.
struct Decided {
  std::optional<int> intra_op, inter_op;
};
std::mutex decided_mutex;
Decided decided;

void decide(const char* name, const std::optional<int>& wanted, std::optional<int>& settled, void (*set)(int),
            std::string& notice) {
  if (!wanted) return;
  if (!settled) {
    set(*wanted);
    settled = *wanted;
  } else if (*settled != *wanted) {
    notice += concat(notice.empty() ? "" : "; ", name, " = ", *wanted,
                     " has no effect: another model set it ", "to ", *settled, " for the whole process");
  }
}

}  // namespace

absl::StatusOr<Settings> read_settings(const serving::Parameters& parameters) {
  Settings settings;
  const auto setters = setters_of(settings);
  for (const auto& [name, value] : parameters) {
    const auto setter = setters.find(name);
    if (setter == setters.end()) {
      std::string known;
      for (const auto& [other, unused] : setters) known += (known.empty() ? "" : ", ") + other;
      return absl::InvalidArgumentError(
          concat("unknown parameter '", name, "' of a PyTorch model; expected one of ", known));
    }
    if (!setter->second(to_text(value))) {
      const bool is_count = name.ends_with("THREAD_COUNT");
      return absl::InvalidArgumentError(concat("parameter '", name, "' of a PyTorch model: expected ",
                                               is_count ? "an integer from 1 to 4096" : "true or false",
                                               ", got '", to_text(value), "'"));
    }
  }
  return settings;
}

std::string apply_to_process(const Settings& settings) {
  const std::lock_guard lock(decided_mutex);
  std::string notice;
  decide("INTRA_OP_THREAD_COUNT", settings.intra_op_thread_count, decided.intra_op, at::set_num_threads,
         notice);
  decide("INTER_OP_THREAD_COUNT", settings.inter_op_thread_count, decided.inter_op,
         at::set_num_interop_threads, notice);
  if (settings.disable_cudnn) at::globalContext().setUserEnabledCuDNN(false);
  if (settings.enable_jit_executor) torch::jit::getExecutorMode() = *settings.enable_jit_executor;
  if (settings.enable_jit_profiling) torch::jit::getProfilingMode() = *settings.enable_jit_profiling;
  return notice;
}

void apply_to_thread(const Settings& settings) {
  {
    const std::lock_guard lock(decided_mutex);
    if (decided.intra_op) at::set_num_threads(*decided.intra_op);
  }
  torch::jit::setGraphExecutorOptimize(!settings.disable_optimized_execution);
}

}  // namespace zeta::torch_backend
