#include "apps/zeta-server/openai/completion_request.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <cstdint>
#include <vector>

#include "apps/zeta-server/json.h"
#include "apps/zeta-server/openai/error.h"
#include "apps/zeta-server/openai/fields.h"
#include "apps/zeta-server/openai/sampling.h"
#include "src/base/concat.h"
#include "src/serving/tensor.h"

namespace zeta::server::openai {
namespace {

constexpr int64_t kDefaultMaxTokens = 16;  // as OpenAI documents for this route
constexpr int64_t kMaxLogprobs = 20;

bool is_integer(const json::value& value) { return value.is_int64(); }

serving::Tensor token_prompt(const json::array& ids) {
  std::vector<int32_t> tokens;
  for (const auto& value : ids) {
    if (!value.is_int64() || value.get_int64() < 0 || value.get_int64() > INT32_MAX) {
      throw bad_value("prompt", "expected token ids to be integers from 0 to 2147483647");
    }
    tokens.push_back(static_cast<int32_t>(value.get_int64()));
  }
  return serving::int32_tensor("input_ids", tokens);
}

serving::Tensor one_prompt(const json::value& value) {
  if (value.is_string()) return serving::bytes_tensor("text_input", {to_view(value.get_string())});
  if (!value.is_array() || value.get_array().empty()) {
    throw bad_value("prompt", "expected a prompt to be a string or a list of token ids, not empty");
  }
  return token_prompt(value.get_array());
}

void read_prompts(Fields& fields, GenerationRequest& request) {
  const auto* value = fields.any("prompt");
  if (value == nullptr) throw bad_value("prompt", "you must provide a prompt", "missing_required_parameter");
  const auto* list = value->if_array();
  if (list == nullptr || (!list->empty() && std::ranges::all_of(*list, is_integer))) {
    request.prompts.push_back(one_prompt(*value));
    return;
  }
  for (const auto& prompt : *list) request.prompts.push_back(one_prompt(prompt));
  if (list->empty()) throw bad_value("prompt", "expected at least one prompt");
}

void read_echo(Fields& fields, GenerationRequest& request) {
  if (!fields.boolean("echo").value_or(false)) return;
  for (const serving::Tensor& prompt : request.prompts) {
    if (prompt.name != "text_input" || request.logprobs) {
      throw bad_value("echo", "'echo' is supported for text prompts without logprobs",
                      "unsupported_parameter");
    }
    request.echoes.emplace_back(serving::bytes_elements(prompt)->front());
  }
}

}  // namespace

GenerationRequest read_completion_request(const json::object& body) {
  Fields fields(body);
  GenerationRequest request;
  read_common_fields(fields, request);
  read_prompts(fields, request);
  if (request.choices() > kMaxChoices) {
    throw bad_value("n", concat("expected prompts × n ≤ ", kMaxChoices, ", got ", request.choices()));
  }
  request.parameters["max_tokens"] = fields.integer("max_tokens", 1, INT32_MAX).value_or(kDefaultMaxTokens);
  request.logprobs = fields.integer("logprobs", 0, kMaxLogprobs);
  read_echo(fields, request);
  if (const auto best_of = fields.integer("best_of", 1, kMaxChoices); best_of && *best_of != request.n) {
    throw bad_value("best_of", "'best_of' is not supported unless it equals n", "unsupported_parameter");
  }
  fields.refuse_others();
  return request;
}

}  // namespace zeta::server::openai
