#include "src/backends/generative/sampling_parameters.h"

#include <fmt/format.h>

#include <boost/json/parse.hpp>
#include <functional>
#include <map>

namespace zeta::generative {
namespace {

using engine::SamplingParams;
using serving::Parameter;
namespace json = boost::json;

// Each sets its field and says whether the value has the type it needs.
using Setter = std::function<bool(SamplingParams&, const Parameter&)>;

Setter number(double SamplingParams::*field) {
  return [field](SamplingParams& params, const Parameter& value) {
    if (const auto* integer = std::get_if<int64_t>(&value)) params.*field = static_cast<double>(*integer);
    if (const auto* real = std::get_if<double>(&value)) params.*field = *real;
    return std::holds_alternative<int64_t>(value) || std::holds_alternative<double>(value);
  };
}

template <typename Field>
Setter integer(Field SamplingParams::*field) {
  return [field](SamplingParams& params, const Parameter& value) {
    const auto* given = std::get_if<int64_t>(&value);
    if (given) params.*field = static_cast<typename Field::value_type>(*given);
    return given != nullptr;
  };
}

bool set_top_k(SamplingParams& params, const Parameter& value) {
  const auto* given = std::get_if<int64_t>(&value);
  if (given) params.top_k = *given == -1 ? 0 : *given;  // vLLM's clients say −1 for all
  return given != nullptr;
}

bool set_ignore_eos(SamplingParams& params, const Parameter& value) {
  const auto* given = std::get_if<bool>(&value);
  if (given) params.ignore_eos = *given;
  return given != nullptr;
}

bool set_stop(SamplingParams& params, const Parameter& value) {
  const auto* text = std::get_if<std::string>(&value);
  if (!text) return false;
  json::error_code error;
  const json::value parsed = json::parse(*text, error);
  const json::array* list = error ? nullptr : parsed.if_array();
  if (!list) return false;
  params.stop.clear();
  for (const json::value& item : *list) {
    if (!item.is_string()) return false;
    params.stop.emplace_back(item.get_string().data(), item.get_string().size());
  }
  return true;
}

struct Known {
  const char* expected;
  Setter set;
};

const std::map<std::string, Known>& known_parameters() {
  static const std::map<std::string, Known> known{
      {"max_tokens", {"an integer", integer(&SamplingParams::max_tokens)}},
      {"temperature", {"a number", number(&SamplingParams::temperature)}},
      {"top_p", {"a number", number(&SamplingParams::top_p)}},
      {"top_k", {"an integer", set_top_k}},
      {"min_p", {"a number", number(&SamplingParams::min_p)}},
      {"repetition_penalty", {"a number", number(&SamplingParams::repetition_penalty)}},
      {"presence_penalty", {"a number", number(&SamplingParams::presence_penalty)}},
      {"frequency_penalty", {"a number", number(&SamplingParams::frequency_penalty)}},
      {"seed", {"an integer", integer(&SamplingParams::seed)}},
      {"ignore_eos", {"true or false", set_ignore_eos}},
      {"stop", {"a JSON array of strings", set_stop}},
      {"logprobs", {"an integer", integer(&SamplingParams::logprobs)}}};
  return known;
}

}  // namespace

absl::StatusOr<SamplingParams> read_sampling_parameters(const serving::Parameters& parameters,
                                                        const SamplingParams& defaults) {
  SamplingParams params = defaults;
  const auto& known = known_parameters();
  for (const auto& [name, value] : parameters) {
    const auto found = known.find(name);
    if (found == known.end()) {
      std::string names;
      for (const auto& [other, entry] : known) names += (names.empty() ? "" : ", ") + other;
      return absl::InvalidArgumentError(
          fmt::format("unknown parameter '{}'; expected one of {}", name, names));
    }
    if (!found->second.set(params, value)) {
      return absl::InvalidArgumentError(
          fmt::format("parameter {}: expected {}", name, found->second.expected));
    }
  }
  if (absl::Status status = engine::validate(params); !status.ok()) return status;
  return params;
}

}  // namespace zeta::generative
