#include "src/backends/generative/request_reader.h"

#include <fmt/format.h>

#include <cstring>
#include <utility>

#include "src/backends/generative/sampling_parameters.h"
#include "src/serving/tensor.h"

namespace zeta::generative {
namespace {

using serving::DataType;
using serving::Tensor;

absl::StatusOr<std::string> one_string(const Tensor& tensor) {
  if (tensor.datatype != DataType::kBytes || tensor.shape != std::vector<int64_t>{1}) {
    return absl::InvalidArgumentError(fmt::format("input {}: expected BYTES of shape [1]", tensor.name));
  }
  const auto elements = serving::bytes_elements(tensor);
  if (!elements.ok()) return elements.status();
  return std::string(elements->front());
}

absl::StatusOr<std::vector<int32_t>> integers(const Tensor& tensor) {
  const bool vector = tensor.datatype == DataType::kInt32 && tensor.shape.size() == 1 && tensor.shape[0] >= 0;
  if (!vector || tensor.data.size / sizeof(int32_t) != static_cast<size_t>(tensor.shape[0]) ||
      tensor.data.size % sizeof(int32_t) != 0) {
    return absl::InvalidArgumentError(fmt::format("input {}: expected INT32 of shape [n]", tensor.name));
  }
  std::vector<int32_t> ids(static_cast<size_t>(tensor.shape[0]));
  if (!ids.empty()) std::memcpy(ids.data(), tensor.data.data, tensor.data.size);
  return ids;
}

template <typename Prompt, typename Value>
absl::Status set_prompt(engine::Request& out, absl::StatusOr<Value> value) {
  if (!value.ok()) return value.status();
  out.prompt = Prompt{std::move(*value)};
  return absl::OkStatus();
}

absl::Status read_prompt(const std::vector<Tensor>& inputs, engine::Request& out) {
  if (inputs.size() != 1) {
    return absl::InvalidArgumentError(fmt::format(
        "expected exactly one input out of text_input, messages and input_ids, got {}", inputs.size()));
  }
  const Tensor& input = inputs.front();
  if (input.name == "text_input") return set_prompt<engine::TextPrompt>(out, one_string(input));
  if (input.name == "messages") return set_prompt<engine::ChatPrompt>(out, one_string(input));
  if (input.name == "input_ids") return set_prompt<engine::TokenPrompt>(out, integers(input));
  return absl::InvalidArgumentError(
      fmt::format("unknown input '{}'; expected text_input, messages or input_ids", input.name));
}

absl::Status check_outputs(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (name != "text_output" && name != "token_ids" && name != "logprobs") {
      return absl::InvalidArgumentError(
          fmt::format("unknown output '{}'; expected text_output, token_ids or logprobs", name));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<engine::Request> read_request(std::shared_ptr<const serving::InferRequest> request,
                                             const engine::SamplingParams& defaults) {
  engine::Request out;
  absl::Status status = read_prompt(request->inputs, out);
  status.Update(check_outputs(request->requested_outputs));
  if (!status.ok()) return status;
  auto sampling = read_sampling_parameters(request->parameters, defaults);
  if (!sampling.ok()) return sampling.status();
  out.sampling = std::move(*sampling);
  out.cancelled = [cancellation = request->cancellation] { return cancellation->cancelled(); };
  return out;
}

}  // namespace zeta::generative
