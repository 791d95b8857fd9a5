#include "src/backends/generative/response_writer.h"

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cmath>
#include <cstring>
#include <memory>
#include <utility>

namespace zeta::generative {
namespace {

using serving::DataType;
using serving::Tensor;
namespace json = boost::json;

constexpr double kImpossible = -9999.0;  // JSON has no −∞; OpenAI's value
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// A tensor over memory of its own.
Tensor tensor(std::string name, DataType type, std::vector<int64_t> shape, std::string bytes) {
  const auto owner = std::make_shared<const std::string>(std::move(bytes));
  return {std::move(name),
          type,
          std::move(shape),
          {reinterpret_cast<const std::byte*>(owner->data()), owner->size(), owner}};
}

Tensor text_tensor(std::string name, const std::string& text) {
  const auto length = static_cast<uint32_t>(text.size());
  std::string bytes(reinterpret_cast<const char*>(&length), sizeof length);
  return tensor(std::move(name), DataType::kBytes, {1}, bytes + text);
}

Tensor ids_tensor(const std::vector<int32_t>& ids) {
  std::string bytes(ids.size() * sizeof(int32_t), '\0');
  if (!ids.empty()) std::memcpy(bytes.data(), ids.data(), bytes.size());
  return tensor("token_ids", DataType::kInt32, {static_cast<int64_t>(ids.size())}, std::move(bytes));
}

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
  if (wanted("text_output")) response.outputs.push_back(text_tensor("text_output", output.text));
  if (wanted("token_ids")) response.outputs.push_back(ids_tensor(output.token_ids));
  if (format.logprobs && wanted("logprobs")) {
    response.outputs.push_back(text_tensor("logprobs", logprobs_json(output.logprobs, tokenizer)));
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
