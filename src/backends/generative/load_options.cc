#include "src/backends/generative/load_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <limits>
#include <map>

namespace zeta::generative {
namespace {

constexpr int64_t kDefaultCacheBytes = int64_t{4} << 30;

std::optional<int64_t> as_integer(const serving::Parameter& value) {
  if (const auto* integer = std::get_if<int64_t>(&value)) return *integer;
  const auto* text = std::get_if<std::string>(&value);
  int64_t parsed = 0;
  if (!text) return std::nullopt;
  const char* end = text->data() + text->size();
  const auto result = std::from_chars(text->data(), end, parsed);
  if (result.ec != std::errc() || result.ptr != end) return std::nullopt;
  return parsed;
}

struct Setting {
  int64_t min, max;
  std::function<void(int64_t)> set;
};

std::map<std::string, Setting> settings_of(LoadOptions& options) {
  const auto to = [](auto& field) { return [&field](int64_t value) { field = value; }; };
  return {{"max_num_seqs", {1, 4096, to(options.max_num_seqs)}},
          {"max_num_batched_tokens", {1, 1 << 20, to(options.max_num_batched_tokens)}},
          {"max_queue_size", {1, 1 << 20, to(options.max_queue_size)}},
          {"max_model_len", {2, 1 << 30, to(options.max_model_len)}},
          {"kv_cache_bytes", {1, int64_t{1} << 50, to(options.kv_cache_bytes)}},
          {"num_threads", {1, 1024, to(options.num_threads)}}};
}

}  // namespace

absl::StatusOr<LoadOptions> read_load_options(const serving::Parameters& parameters) {
  LoadOptions options;
  const std::map<std::string, Setting> settings = settings_of(options);
  for (const auto& [name, value] : parameters) {
    const auto found = settings.find(name);
    if (found == settings.end()) {
      std::string known;
      for (const auto& [other, setting] : settings) known += (known.empty() ? "" : ", ") + other;
      return absl::InvalidArgumentError(
          fmt::format("unknown model parameter '{}'; expected one of {}", name, known));
    }
    const Setting& setting = found->second;
    const std::optional<int64_t> number = as_integer(value);
    if (!number || *number < setting.min || *number > setting.max) {
      return absl::InvalidArgumentError(fmt::format("model parameter {}: expected an integer from {} to {}",
                                                    name, setting.min, setting.max));
    }
    setting.set(*number);
  }
  if (options.max_num_batched_tokens < options.max_num_seqs) {
    return absl::InvalidArgumentError(
        fmt::format("expected max_num_batched_tokens ≥ max_num_seqs = {}, got {}", options.max_num_seqs,
                    options.max_num_batched_tokens));
  }
  return options;
}

int64_t choose_max_model_len(const LoadOptions& options, int64_t max_positions, int64_t kv_bytes_per_token) {
  if (options.max_model_len) return *options.max_model_len;
  if (options.kv_cache_bytes) return max_positions;
  return std::min(max_positions, kDefaultCacheBytes / kv_bytes_per_token);
}

absl::StatusOr<engine::EngineLimits> engine_limits(const LoadOptions& options, int64_t max_model_len,
                                                   int64_t kv_bytes_per_token) {
  int64_t one_sequence = 0, most = 0;
  if (__builtin_mul_overflow(max_model_len, kv_bytes_per_token, &one_sequence)) {
    return absl::InvalidArgumentError(
        fmt::format("max_model_len = {} tokens of {} bytes of cache each are more than 2^63 bytes; lower it",
                    max_model_len, kv_bytes_per_token));
  }
  if (__builtin_mul_overflow(options.max_num_seqs, one_sequence, &most)) {
    most = std::numeric_limits<int64_t>::max();
  }
  const int64_t by_default = std::min(most, std::max(kDefaultCacheBytes, one_sequence));
  const int64_t bytes = options.kv_cache_bytes.value_or(by_default);
  if (bytes < one_sequence) {
    return absl::InvalidArgumentError(fmt::format(
        "expected kv_cache_bytes ≥ {} for one sequence of max_model_len = {} tokens, got {}; give "
        "more, or lower max_model_len",
        one_sequence, max_model_len, bytes));
  }
  return engine::EngineLimits{
      {options.max_num_seqs, options.max_num_batched_tokens, bytes / kv_bytes_per_token},
      options.max_queue_size};
}

}  // namespace zeta::generative
