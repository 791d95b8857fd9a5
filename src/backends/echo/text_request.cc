#include "src/backends/echo/text_request.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cstring>
#include <numeric>
#include <string_view>
#include <utility>

#include "src/base/concat.h"
#include "src/serving/tensor.h"

namespace zeta::echo {
namespace {

namespace json = boost::json;

constexpr std::string_view kIgnoredParameters[] = {
    "temperature",       "top_p", "top_k",     "min_p", "repetition_penalty", "presence_penalty",
    "frequency_penalty", "seed",  "ignore_eos"};

// Splits before each run of blanks, so that the words together are the text.
std::vector<std::string> split_words(std::string_view text) {
  std::vector<std::string> words;
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t word = std::min(text.find_first_not_of(' ', begin), text.size());
    const size_t end = std::min(text.find(' ', word), text.size());
    words.emplace_back(text.substr(begin, end - begin));
    begin = end;
  }
  return words;
}

absl::StatusOr<std::string> only_element(const serving::Tensor& tensor) {
  const auto elements = serving::bytes_elements(tensor);
  if (!elements.ok()) return elements.status();
  if (elements->size() != 1) {
    return absl::InvalidArgumentError(
        concat("expected '", tensor.name, "' of shape [1], got ", serving::shape_text(tensor.shape)));
  }
  return std::string(elements->front());
}

absl::StatusOr<std::string> last_message(const std::string& messages) {
  try {
    const json::value parsed = json::parse(messages);
    const json::array& turns = parsed.as_array();
    if (!turns.empty()) return std::string(turns.back().at("content").as_string());
  } catch (const std::exception&) {
    // Said below.
  }
  return absl::InvalidArgumentError("expected 'messages' to be a JSON array of {role, content}, not empty");
}

void take_ids(const serving::Tensor& tensor, TextRequest& parsed) {
  parsed.token_ids.resize(tensor.data.size / sizeof(int32_t));
  std::memcpy(parsed.token_ids.data(), tensor.data.data, tensor.data.size);
  for (const int32_t id : parsed.token_ids) parsed.words.push_back(concat(" ", id));
}

absl::Status take_prompt(const serving::Tensor& tensor, TextRequest& parsed) {
  if (tensor.name == "input_ids") {
    take_ids(tensor, parsed);
    return absl::OkStatus();
  }
  auto text = only_element(tensor);
  if (text.ok() && tensor.name == "messages") text = last_message(*text);
  if (!text.ok()) return text.status();
  parsed.words = split_words(*text);
  parsed.token_ids.resize(parsed.words.size());
  std::iota(parsed.token_ids.begin(), parsed.token_ids.end(), 0);
  return absl::OkStatus();
}

std::optional<std::vector<std::string>> parse_stop(const std::string& text) {
  try {
    return json::value_to<std::vector<std::string>>(json::parse(text));
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

absl::Status take_parameter(const std::string& name, const serving::Parameter& value, TextRequest& parsed) {
  const auto* number = std::get_if<int64_t>(&value);
  const auto* text = std::get_if<std::string>(&value);
  if (name == "max_tokens" && number != nullptr) {
    parsed.max_tokens = *number;
  } else if (name == "logprobs" && number != nullptr) {
    parsed.logprobs = *number;
  } else if (name == "stop" && text != nullptr) {
    auto stop = parse_stop(*text);
    if (!stop) return absl::InvalidArgumentError("expected 'stop' to be a JSON array of strings");
    parsed.stop = *std::move(stop);
  } else if (std::ranges::find(kIgnoredParameters, name) == std::end(kIgnoredParameters)) {
    return absl::InvalidArgumentError(concat("parameter '", name, "' is unknown or has the wrong type"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TextRequest> parse_text_request(const serving::InferRequest& request) {
  if (request.inputs.size() != 1) {
    return absl::InvalidArgumentError(
        concat("expected exactly one of text_input, messages and input_ids, got ", request.inputs.size(),
               " inputs"));
  }
  TextRequest parsed;
  if (absl::Status status = take_prompt(request.inputs.front(), parsed); !status.ok()) return status;
  for (const auto& [name, value] : request.parameters) {
    if (absl::Status status = take_parameter(name, value, parsed); !status.ok()) return status;
  }
  return parsed;
}

}  // namespace zeta::echo
