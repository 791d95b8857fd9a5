#include "apps/zeta-server/openai/sampling.h"

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <cstdint>
#include <limits>

#include "apps/zeta-server/json.h"
#include "apps/zeta-server/openai/error.h"
#include "src/base/concat.h"

namespace zeta::server::openai {
namespace {

constexpr size_t kMaxStops = 16;

struct NumberField {
  const char* name;
  double min;
  double max;
};
constexpr NumberField kNumbers[] = {{"temperature", 0, 2},
                                    {"top_p", 0, 1},
                                    {"min_p", 0, 1},
                                    {"presence_penalty", -2, 2},
                                    {"frequency_penalty", -2, 2},
                                    {"repetition_penalty", 0.01, 100}};

void read_stop(Fields& fields, GenerationRequest& request) {
  const auto* value = fields.any("stop");
  if (value == nullptr) return;
  const json::array stops = value->is_array() ? value->get_array() : json::array{*value};
  for (const auto& stop : stops) {
    if (!stop.is_string() || stop.get_string().empty()) {
      throw bad_value("stop", "expected 'stop' to be a non-empty string or a list of such");
    }
  }
  if (stops.size() > kMaxStops)
    throw bad_value("stop", concat("expected at most ", kMaxStops, " strings in 'stop'"));
  if (!stops.empty()) request.parameters["stop"] = json::serialize(stops);
}

void read_stream(Fields& fields, GenerationRequest& request) {
  request.stream = fields.boolean("stream").value_or(false);
  const auto* value = fields.any("stream_options");
  if (value == nullptr) return;
  if (!value->is_object() || !request.stream) {
    throw bad_value("stream_options", "'stream_options' is an object that goes with stream=true");
  }
  Fields options(value->get_object(), "stream_options.");
  request.include_usage = options.boolean("include_usage").value_or(false);
  options.refuse_others();
}

}  // namespace

void read_common_fields(Fields& fields, GenerationRequest& request) {
  const auto model = fields.text("model");
  if (!model) throw bad_value("model", "you must provide a model parameter", "missing_required_parameter");
  request.model = *model;
  request.n = fields.integer("n", 1, kMaxChoices).value_or(1);
  constexpr int64_t kAny = std::numeric_limits<int64_t>::max() - static_cast<int64_t>(kMaxChoices);
  request.seed = fields.integer("seed", -kAny, kAny);
  for (const auto& [name, min, max] : kNumbers) {
    if (const auto value = fields.number(name, min, max)) request.parameters[name] = *value;
  }
  // -1 and 0 both mean no limit.
  if (const auto top_k = fields.integer("top_k", -1, INT32_MAX); top_k && *top_k > 0) {
    request.parameters["top_k"] = *top_k;
  }
  if (const auto ignore = fields.boolean("ignore_eos")) request.parameters["ignore_eos"] = *ignore;
  read_stop(fields, request);
  read_stream(fields, request);
  fields.ignore("user");
}

}  // namespace zeta::server::openai
