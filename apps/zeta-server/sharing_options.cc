#include "apps/zeta-server/sharing_options.h"

#include <charconv>
#include <memory>
#include <string_view>
#include <utility>

#include "src/base/concat.h"

namespace zeta::server {
namespace {

template <class T>
std::optional<T> to_number(std::string_view text) {
  T value{};
  const auto* end = text.data() + text.size();
  const bool whole = std::from_chars(text.data(), end, value) == std::from_chars_result{end, {}};
  return whole && !text.empty() ? std::optional<T>(value) : std::nullopt;
}

void apply_cache(const TypedSharing& typed, Options& options) {
  std::optional<uint64_t> bytes = typed.cache_bytes;
  if (bytes && !typed.cache_config.empty()) {
    throw CLI::ValidationError("--response-cache-byte-size", "excludes --cache-config, which is the same");
  }
  for (const std::string& setting : typed.cache_config) {
    constexpr std::string_view kSize = "local,size=";
    bytes = setting.starts_with(kSize) ? to_number<uint64_t>(std::string_view(setting).substr(kSize.size()))
                                       : std::nullopt;
    if (!bytes)
      throw CLI::ValidationError("--cache-config", "expected local,size=BYTES, got '" + setting + "'");
  }
  if (bytes.value_or(0) > 0) {
    options.registry.response_cache = std::make_shared<serving::ResponseCache>(*bytes);
  }
}

serving::ResourceLimit to_limit(const std::string& text) {
  const size_t first = text.find(':');
  const size_t second = first == std::string::npos ? first : text.find(':', first + 1);
  serving::ResourceLimit limit;
  if (first != std::string::npos && first > 0) {
    limit.name = text.substr(0, first);
    const auto count = to_number<uint64_t>(std::string_view(text).substr(first + 1, second - first - 1));
    if (second != std::string::npos) limit.device = to_number<int>(std::string_view(text).substr(second + 1));
    limit.count = count.value_or(0);
    if (count && (second == std::string::npos || limit.device.value_or(-1) >= 0)) return limit;
  }
  throw CLI::ValidationError("--rate-limit-resource",
                             concat("option format is '<resource_name>:<count>:<device>' or ",
                                    "'<resource_name>:<count>'. Got ", text));
}

void apply_rate_limit(const TypedSharing& typed, Options& options) {
  std::vector<serving::ResourceLimit> limits;
  limits.reserve(typed.rate_limit_resources.size());
  for (const std::string& text : typed.rate_limit_resources) limits.push_back(to_limit(text));
  if (typed.rate_limit == "off") {
    if (limits.empty()) return;
    throw CLI::ValidationError("--rate-limit-resource", "needs --rate-limit=execution_count");
  }
  options.registry.rate_limiter = std::make_shared<serving::RateLimiter>(std::move(limits));
}

}  // namespace

void add_sharing_options(CLI::App& app, TypedSharing& typed) {
  const auto group = "Models";
  app.add_option("--cache-config", typed.cache_config,
                 "Keep responses of models with response_cache: local,size=BYTES")
      ->group(group)
      ->take_all();
  app.add_option("--response-cache-byte-size", typed.cache_bytes, "The same as --cache-config local,size=")
      ->group(group)
      ->check(CLI::NonNegativeNumber);
  app.add_option("--rate-limit", typed.rate_limit,
                 "execution_count: an instance computes when the resources of its rate_limiter are free")
      ->group(group)
      ->check(CLI::IsMember({"off", "execution_count"}))
      ->capture_default_str();
  app.add_option("--rate-limit-resource", typed.rate_limit_resources,
                 "How many there are of a resource: NAME:COUNT[:DEVICE] (repeatable)")
      ->group(group)
      ->take_all();
}

void apply(const TypedSharing& typed, Options& options) {
  apply_cache(typed, options);
  apply_rate_limit(typed, options);
}

}  // namespace zeta::server
