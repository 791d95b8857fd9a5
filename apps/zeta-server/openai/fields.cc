#include "apps/zeta-server/openai/fields.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "apps/zeta-server/json.h"
#include "apps/zeta-server/openai/error.h"
#include "src/base/concat.h"

namespace zeta::server::openai {
namespace {

// Members that OpenAI has and this server does not.
constexpr std::string_view kUnsupported[] = {"audio",
                                             "best_of",
                                             "function_call",
                                             "functions",
                                             "logit_bias",
                                             "modalities",
                                             "parallel_tool_calls",
                                             "prediction",
                                             "reasoning_effort",
                                             "response_format",
                                             "suffix",
                                             "tool_choice",
                                             "tools",
                                             "web_search_options"};

std::string number_text(double value) {
  std::array<char, 32> digits;
  return {digits.data(), std::to_chars(digits.begin(), digits.end(), value).ptr};
}

}  // namespace

Fields::Fields(const json::object& object, std::string prefix)
    : object_(object), prefix_(std::move(prefix)) {}

const json::value* Fields::any(std::string_view name) {
  read_.push_back(name);
  const auto* value = object_.if_contains(name);
  return value == nullptr || value->is_null() ? nullptr : value;
}

std::optional<bool> Fields::boolean(std::string_view name) {
  const auto* value = any(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_bool())
    throw bad_value(full_name(name), concat("expected '", full_name(name), "' to be a boolean"),
                    "invalid_type");
  return value->get_bool();
}

std::optional<int64_t> Fields::integer(std::string_view name, int64_t min, int64_t max) {
  const auto* value = any(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_int64() || value->get_int64() < min || value->get_int64() > max) {
    throw bad_value(full_name(name),
                    concat("expected '", full_name(name), "' to be an integer from ", min, " to ", max));
  }
  return value->get_int64();
}

std::optional<double> Fields::number(std::string_view name, double min, double max) {
  const auto* value = any(name);
  if (value == nullptr) return std::nullopt;
  const bool in_range =
      value->is_number() && value->to_number<double>() >= min && value->to_number<double>() <= max;
  if (!in_range) {
    throw bad_value(full_name(name), concat("expected '", full_name(name), "' to be a number from ",
                                            number_text(min), " to ", number_text(max)));
  }
  return value->to_number<double>();
}

std::optional<std::string> Fields::text(std::string_view name) {
  const auto* value = any(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string())
    throw bad_value(full_name(name), concat("expected '", full_name(name), "' to be a string"),
                    "invalid_type");
  return std::string(to_view(value->get_string()));
}

void Fields::refuse_others() const {
  for (const auto& member : object_) {
    const std::string_view name = member.key();
    if (member.value().is_null() || std::ranges::find(read_, name) != read_.end()) continue;
    const bool known = std::ranges::find(kUnsupported, name) != std::end(kUnsupported);
    throw bad_value(full_name(name),
                    concat("'", full_name(name), known ? "' is not supported" : "' is not known"),
                    known ? "unsupported_parameter" : "unknown_parameter");
  }
}

}  // namespace zeta::server::openai
