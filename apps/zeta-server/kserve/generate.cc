#include "apps/zeta-server/kserve/generate.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "apps/zeta-server/inference_call.h"
#include "apps/zeta-server/json.h"
#include "apps/zeta-server/kserve/error.h"
#include "apps/zeta-server/kserve/infer.h"
#include "apps/zeta-server/kserve/infer_json.h"
#include "apps/zeta-server/kserve/tensor_json.h"
#include "apps/zeta-server/tracing/http_trace.h"
#include "src/base/concat.h"
#include "src/base/json_string.h"
#include "src/serving/tensor.h"

namespace zeta::server::kserve {
namespace {

using http::asio::awaitable;

// The shape of a JSON value that stands for a tensor: [n] for an array, [1] for anything else.
absl::StatusOr<serving::Tensor> to_tensor(const serving::TensorMetadata& input, const json::value& value) {
  serving::TensorMetadata given{input.name, input.datatype, {1}};
  if (value.is_array()) given.shape[0] = static_cast<int64_t>(value.get_array().size());
  auto data = read_tensor_data(given, value.is_array() ? value : json::value(json::array{value}));
  if (!data.ok()) return data.status();
  return serving::Tensor{given.name, given.datatype, given.shape, *std::move(data)};
}

// Members named like an input are that input; "id" and "parameters" keep their meaning; all others are
// parameters.
absl::StatusOr<std::shared_ptr<serving::InferRequest>> read_request(const serving::ModelMetadata& model,
                                                                    std::string_view body) {
  const auto parsed = parse_json(body);
  if (!parsed.ok()) return parsed.status();
  if (!parsed->is_object()) {
    return absl::InvalidArgumentError("failed to parse the request JSON buffer: expected an object");
  }
  auto request = std::make_shared<serving::InferRequest>();
  json::object parameters;
  for (const auto& member : parsed->get_object()) {
    const auto input =
        std::ranges::find(model.inputs, std::string_view(member.key()), &serving::TensorMetadata::name);
    if (input != model.inputs.end()) {
      auto tensor = to_tensor(*input, member.value());
      if (!tensor.ok()) return tensor.status();
      request->inputs.push_back(*std::move(tensor));
    } else if (member.key() == "id" && member.value().is_string()) {
      request->id = to_view(member.value().get_string());
    } else if (member.key() == "parameters" && member.value().is_object()) {
      for (const auto& nested : member.value().get_object()) parameters[nested.key()] = nested.value();
    } else {
      parameters[member.key()] = member.value();
    }
  }
  auto read = read_parameters(json::value(std::move(parameters)));
  if (!read.ok()) return read.status();
  request->parameters = *std::move(read);
  return request;
}

absl::StatusOr<std::string> write_response(const serving::ModelMetadata& model,
                                           const serving::InferRequest& request,
                                           const serving::InferResponse& response) {
  std::string out = "{\"model_name\":";
  append_json_string(out, model.name);
  out += ",\"model_version\":";
  append_json_string(out, model.version);
  if (!request.id.empty()) {
    out += ",\"id\":";
    append_json_string(out, request.id);
  }
  write_parameters(response.parameters, out);
  for (const serving::Tensor& tensor : response.outputs) {
    out += ',';
    append_json_string(out, tensor.name);
    const bool scalar = tensor.shape == std::vector<int64_t>{1};
    out += scalar ? ":" : ":[";
    if (absl::Status status = write_tensor_data(tensor, out); !status.ok()) return status;
    if (!scalar) out += ']';
  }
  return out + "}";
}

// Puts the pieces of text together. Of `token_ids` too; log-probabilities are told in streams only.
serving::InferResponse join(const std::vector<serving::InferResponse>& pieces) {
  std::string text, ids;
  for (const serving::InferResponse& piece : pieces) {
    if (const auto* tensor = serving::find_tensor(piece.outputs, "text_output")) {
      const auto elements = serving::bytes_elements(*tensor);
      if (elements.ok()) {
        for (const std::string_view element : *elements) text += element;
      }
    }
    if (const auto* tensor = serving::find_tensor(piece.outputs, "token_ids")) {
      ids.append(reinterpret_cast<const char*>(tensor->data.data), tensor->data.size);
    }
  }
  serving::InferResponse whole;
  whole.parameters = pieces.back().parameters;
  const auto count = static_cast<int64_t>(ids.size() / sizeof(int32_t));
  whole.outputs.push_back(serving::bytes_tensor("text_output", {text}));
  whole.outputs.push_back(
      {"token_ids", serving::DataType::kInt32, {count}, serving::make_buffer(std::move(ids))});
  return whole;
}

bool gives_text(const serving::ModelMetadata& model) {
  return std::ranges::find(model.outputs, "text_output", &serving::TensorMetadata::name) !=
         model.outputs.end();
}

absl::StatusOr<std::string> write_all(const serving::ModelMetadata& model,
                                      const serving::InferRequest& request,
                                      const std::vector<serving::InferResponse>& responses) {
  if (gives_text(model)) return write_response(model, request, join(responses));
  if (responses.size() == 1) return write_response(model, request, responses.front());
  return absl::InvalidArgumentError(
      "generate expects model to produce exactly 1 response, use generate stream for model that generates "
      "various number of responses");
}

// The rest of the responses, of which the first have come.
class EventStream final : public http::BodySource {
 public:
  EventStream(std::unique_ptr<InferenceCall> call, std::shared_ptr<const serving::InferRequest> request,
              std::vector<InferenceCall::Event> first)
      : call_(std::move(call)), request_(std::move(request)), events_(std::move(first)) {}

  awaitable<std::string> next() override {
    if (events_.empty() && !call_->done()) events_ = co_await call_->next();
    std::string text;
    for (const auto& event : std::exchange(events_, {})) append(event.response, text);
    co_return text;
  }

 private:
  void append(const serving::InferResponse& response, std::string& text) {
    auto body = response.status.ok() ? write_response(call_->model().metadata(), *request_, response)
                                     : absl::StatusOr<std::string>(response.status);
    text += "data: ";
    text += body.ok() ? *body : error_response(body.status()).body;
    text += "\n\n";
  }

  const std::unique_ptr<InferenceCall> call_;
  const std::shared_ptr<const serving::InferRequest> request_;
  std::vector<InferenceCall::Event> events_;
};

}  // namespace

awaitable<http::Response> generate(std::shared_ptr<const Context> context, http::Request& request) {
  const auto model = find_model(*context, request);
  if (!model.ok()) co_return error_response(model.status());
  const serving::ModelMetadata& metadata = (*model)->metadata();
  const auto infer_request = read_request(metadata, request.body);
  if (!infer_request.ok()) co_return error_response(infer_request.status());
  const auto trace = begin_trace(context->tracer.get(), request, metadata.name);
  (*infer_request)->trace = trace;
  InferenceCall call(*request.connection, *model);
  call.start(*infer_request);
  std::vector<serving::InferResponse> responses;
  while (!call.done()) {
    for (auto& event : co_await call.next()) {
      if (!event.response.status.ok()) co_return error_response(event.response.status);
      responses.push_back(std::move(event.response));
    }
  }
  auto body = write_all(metadata, **infer_request, responses);
  if (!body.ok()) co_return error_response(body.status());
  http::Response response;
  response.body = *std::move(body);
  end_trace(trace, response);
  co_return response;
}

awaitable<http::Response> generate_stream(std::shared_ptr<const Context> context, http::Request& request) {
  const auto model = find_model(*context, request);
  if (!model.ok()) co_return error_response(model.status());
  const auto infer_request = read_request((*model)->metadata(), request.body);
  if (!infer_request.ok()) co_return error_response(infer_request.status());
  const auto trace = begin_trace(context->tracer.get(), request, (*model)->metadata().name);
  (*infer_request)->trace = trace;
  auto call = std::make_unique<InferenceCall>(*request.connection, *model);
  call->start(*infer_request);
  // A failure before the first response still gets a status of its own.
  auto first = co_await call->next();
  if (!first.front().response.status.ok()) co_return error_response(first.front().response.status);
  http::Response response;
  response.content_type = "text/event-stream";
  response.stream = std::make_unique<EventStream>(std::move(call), *infer_request, std::move(first));
  end_trace(trace, response);
  co_return response;
}

}  // namespace zeta::server::kserve
