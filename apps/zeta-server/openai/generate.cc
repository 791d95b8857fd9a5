#include "apps/zeta-server/openai/generate.h"

#include <boost/json/serialize.hpp>
#include <string>
#include <utility>
#include <vector>

#include "apps/zeta-server/inference_call.h"
#include "apps/zeta-server/json.h"
#include "apps/zeta-server/openai/answer.h"
#include "apps/zeta-server/openai/chat_request.h"
#include "apps/zeta-server/openai/completion_request.h"
#include "apps/zeta-server/openai/error.h"
#include "apps/zeta-server/openai/event_stream.h"
#include "src/base/concat.h"

namespace zeta::server::openai {
namespace {

using http::asio::awaitable;
using ReadRequest = GenerationRequest (*)(const json::object& body);

GenerationRequest read_request(const http::Request& request, ReadRequest read) {
  const auto body = parse_json(request.body);
  if (!body.ok()) throw ApiError(400, std::string(body.status().message()), "", "invalid_json");
  if (!body->is_object()) throw ApiError(400, "expected the body to be a JSON object", "", "invalid_json");
  return read(body->get_object());
}

std::shared_ptr<serving::ServedModel> find_model(const Context& context, const std::string& name) {
  auto model = context.registry->find(name, "");
  if (model.status().code() == absl::StatusCode::kNotFound) {
    throw ApiError(404, concat("The model `", name, "` does not exist"), "model", "model_not_found");
  }
  if (!model.ok()) throw to_api_error(model.status());
  if (!is_generative((*model)->metadata())) {
    throw bad_value("model", concat("The model `", name, "` does not generate text"), "unsupported_value");
  }
  return *std::move(model);
}

awaitable<http::Response> generate(std::shared_ptr<const Context> context, http::Request& request,
                                   ReadRequest read, MakeFormat make_format) {
  GenerationRequest wanted = read_request(request, read);
  auto model = find_model(*context, wanted.model);
  const auto metrics = context->generation_metrics->model(wanted.model);
  auto answer = std::make_unique<Answer>(std::move(wanted), make_format, metrics, request.id);
  auto call = std::make_unique<InferenceCall>(*request.connection, std::move(model));
  answer->start(*call);

  http::Response response;
  std::vector<InferenceCall::Event> events = co_await call->next();
  if (answer->request().stream) {
    // A failure before the first piece still gets a status of its own.
    const absl::Status& status = events.front().response.status;
    if (!status.ok()) throw to_api_error(status);
    response.content_type = "text/event-stream";
    response.headers.emplace_back("Cache-Control", "no-cache");
    response.stream = std::make_unique<EventStream>(std::move(answer), std::move(call), std::move(events));
    co_return response;
  }
  while (true) {
    for (const auto& event : events) answer->take(event);
    if (call->done()) break;
    events = co_await call->next();
  }
  response.body = json::serialize(answer->whole());
  co_return response;
}

// The one place where an ApiError becomes an answer.
awaitable<http::Response> guarded(std::shared_ptr<const Context> context, http::Request& request,
                                  ReadRequest read, MakeFormat make_format) {
  try {
    co_return co_await generate(std::move(context), request, read, make_format);
  } catch (const ApiError& error) {
    co_return error_response(error);
  }
}

}  // namespace

awaitable<http::Response> complete(std::shared_ptr<const Context> context, http::Request& request) {
  return guarded(std::move(context), request, read_completion_request, make_completion_format);
}

awaitable<http::Response> chat(std::shared_ptr<const Context> context, http::Request& request) {
  return guarded(std::move(context), request, read_chat_request, make_chat_format);
}

}  // namespace zeta::server::openai
