#include "src/backends/generative/response_writer.h"

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cmath>
#include <utility>

#include "src/serving/tensor.h"

namespace zeta::generative {
namespace {

using serving::bytes_tensor;
namespace json = boost::json;

constexpr double kImpossible = -9999.0;  // JSON has no −∞; OpenAI's value
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

json::object describe(const engine::TokenLogprob& token, const text::Tokenizer& tokenizer) {
  const auto decoded = tokenizer.decode({token.token}, /*skip_special_tokens=*/false);
  const std::string text = decoded.ok() ? *decoded : std::string(kReplacement);
  json::value bytes;
  if (text.find(kReplacement) == std::string::npos) {
    json::array list;
    for (char c : text) list.push_back(static_cast<unsigned char>(c));
    bytes = std::move(list);
  }
  const double logprob = std::isfinite(token.logprob) ? token.logprob : kImpossible;
  return {{"token", text}, {"id", token.token}, {"bytes", std::move(bytes)}, {"logprob", logprob}};
}

}  // namespace

std::string logprobs_json(const std::vector<engine::Sampled>& tokens, const text::Tokenizer& tokenizer) {
  json::array list;
  for (const engine::Sampled& sampled : tokens) {
    json::object entry = describe(sampled.own, tokenizer);
    json::array top;
    for (const engine::TokenLogprob& other : sampled.top) top.push_back(describe(other, tokenizer));
    entry["top_logprobs"] = std::move(top);
    list.push_back(std::move(entry));
  }
  return json::serialize(list);
}

serving::InferResponse write_response(engine::Output output, const ResponseFormat& format,
                                      const text::Tokenizer& tokenizer) {
  serving::InferResponse response;
  response.status = std::move(output.status);
  response.final = !response.status.ok() || output.finish_reason.has_value();
  if (!response.status.ok()) return response;

  const auto wanted = [&](const char* name) {
    const auto& names = format.requested_outputs;
    return names.empty() || std::find(names.begin(), names.end(), name) != names.end();
  };
  if (wanted("text_output")) response.outputs.push_back(bytes_tensor("text_output", {output.text}));
  if (wanted("token_ids")) response.outputs.push_back(serving::int32_tensor("token_ids", output.token_ids));
  if (format.logprobs && wanted("logprobs")) {
    response.outputs.push_back(bytes_tensor("logprobs", {logprobs_json(output.logprobs, tokenizer)}));
  }
  if (output.finish_reason) {
    const bool stop = *output.finish_reason == engine::FinishReason::kStop;
    response.parameters = {{"finish_reason", std::string(stop ? "stop" : "length")},
                           {"prompt_tokens", output.prompt_tokens},
                           {"completion_tokens", output.completion_tokens}};
  }
  return response;
}

}  // namespace zeta::generative
