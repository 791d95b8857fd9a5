#include "apps/zeta-server/openai/text_piece.h"

#include <algorithm>
#include <string_view>

#include "apps/zeta-server/json.h"
#include "src/base/concat.h"
#include "src/serving/tensor.h"

namespace zeta::server::openai {
namespace {

absl::Status broken(std::string_view what) {
  return absl::InternalError(concat("the model's response does not keep to the contract: ", what));
}

bool has(const std::vector<serving::TensorMetadata>& tensors, std::string_view name) {
  return std::ranges::find(tensors, name, &serving::TensorMetadata::name) != tensors.end();
}

absl::StatusOr<std::string_view> only_text(const serving::Tensor& tensor) {
  const auto elements = serving::bytes_elements(tensor);
  if (!elements.ok() || elements->size() != 1) return broken(concat("'", tensor.name, "' is not BYTES [1]"));
  return elements->front();
}

absl::Status read_logprobs(const serving::Tensor& tensor, TextPiece& piece) {
  const auto text = only_text(tensor);
  if (!text.ok()) return text.status();
  const auto parsed = parse_json(*text);
  if (!parsed.ok() || !parsed->is_array()) return broken("'logprobs' is not a JSON array");
  for (const auto& token : parsed->get_array()) {
    const auto* object = token.if_object();
    if (object == nullptr || !object->contains("token") || !object->contains("logprob")) {
      return broken("'logprobs' has an element without token or logprob");
    }
    piece.logprobs.push_back(token);
  }
  return absl::OkStatus();
}

template <class T>
absl::Status read_parameter(const serving::InferResponse& response, const char* name, T& target) {
  const auto found = response.parameters.find(name);
  const auto* value = found == response.parameters.end() ? nullptr : std::get_if<T>(&found->second);
  if (value == nullptr) return broken(concat("the final response has no '", name, "'"));
  target = *value;
  return absl::OkStatus();
}

absl::Status read_end(const serving::InferResponse& response, TextPiece& piece) {
  absl::Status status = read_parameter(response, "finish_reason", piece.finish_reason);
  status.Update(read_parameter(response, "prompt_tokens", piece.prompt_tokens));
  status.Update(read_parameter(response, "completion_tokens", piece.completion_tokens));
  return status;
}

}  // namespace

absl::StatusOr<TextPiece> read_text_piece(const serving::InferResponse& response) {
  TextPiece piece;
  if (const auto* tensor = serving::find_tensor(response.outputs, "text_output")) {
    const auto text = only_text(*tensor);
    if (!text.ok()) return text.status();
    piece.text = *text;
  }
  if (const auto* tensor = serving::find_tensor(response.outputs, "token_ids")) {
    piece.tokens = tensor->data.size / sizeof(int32_t);
  }
  if (const auto* tensor = serving::find_tensor(response.outputs, "logprobs")) {
    if (absl::Status status = read_logprobs(*tensor, piece); !status.ok()) return status;
  }
  if (response.final) {
    if (absl::Status status = read_end(response, piece); !status.ok()) return status;
  }
  return piece;
}

bool is_generative(const serving::ModelMetadata& model) {
  return has(model.inputs, "text_input") && has(model.outputs, "text_output");
}

}  // namespace zeta::server::openai
