#include "apps/zeta-server/kserve/infer.h"

#include <charconv>
#include <optional>
#include <utility>

#include "apps/zeta-server/inference_call.h"
#include "apps/zeta-server/kserve/error.h"
#include "apps/zeta-server/kserve/infer_json.h"
#include "apps/zeta-server/model_version.h"
#include "apps/zeta-server/tracing/http_trace.h"
#include "src/base/concat.h"
#include "src/http/content_coding.h"

namespace zeta::server::kserve {
namespace {

constexpr std::string_view kHeaderLength = "Inference-Header-Content-Length";

// How much of the body is JSON: all of it, unless the header says otherwise.
absl::StatusOr<size_t> json_size(const http::Request& request) {
  const std::string_view text = request.header(kHeaderLength);
  if (text.empty()) return request.body.size();
  size_t size = 0;
  const char* end = text.data() + text.size();
  if (std::from_chars(text.data(), end, size) == std::from_chars_result{end, {}} && size > 0 &&
      size <= request.body.size()) {
    return size;
  }
  return absl::InvalidArgumentError(
      concat("inference header size should be in range (0, ", request.body.size(), "), got: ", text));
}

http::Response to_response(const serving::ModelMetadata& model, const ReadRequest& request,
                           serving::InferResponse answer) {
  if (!answer.status.ok()) return error_response(answer.status);
  auto written = write_infer_response(model, request, std::move(answer));
  if (!written.ok()) return error_response(written.status());
  http::Response response;
  if (!written->tail.empty()) {
    response.content_type = "application/octet-stream";
    response.headers.emplace_back(kHeaderLength, std::to_string(written->json.size()));
  }
  response.body = std::move(written->json);
  response.tail = std::move(written->tail);
  return response;
}

void forward_headers(const Context& context, const http::Request& request, serving::Parameters& parameters) {
  if (context.http_forwarded_headers == nullptr) return;
  request.connection->for_each_header([&](std::string_view name, std::string_view value) {
    if (context.http_forwarded_headers->matches(name)) parameters[std::string(name)] = std::string(value);
  });
}

}  // namespace

absl::StatusOr<std::shared_ptr<serving::ServedModel>> find_model(const Context& context,
                                                                 const http::Request& request) {
  std::string_view version;
  for (const auto& [name, value] : request.path_params) {
    if (name == "version") version = value.empty() ? "0" : std::string_view(value);
  }
  if (absl::Status status = check_version(version); !status.ok()) return status;
  return context.registry->find(request.path_param("model"), version);
}

http::asio::awaitable<http::Response> infer(std::shared_ptr<const Context> context, http::Request& request) {
  const auto model = find_model(*context, request);
  if (!model.ok()) co_return error_response(model.status());
  if ((*model)->metadata().decoupled) {
    co_return error_response(
        absl::UnimplementedError("HTTP end point doesn't support models with decoupled transaction policy"));
  }
  const auto size = json_size(request);
  if (!size.ok()) co_return error_response(size.status());
  const auto read = read_infer_request({std::make_shared<const std::string>(std::move(request.body)), *size,
                                        request.path_param("model"), *context->shared_memory});
  if (!read.ok()) co_return error_response(read.status());
  forward_headers(*context, request, read->request->parameters);
  const auto trace = begin_trace(context->tracer.get(), request, (*model)->metadata().name);
  read->request->trace = trace;
  InferenceCall call(*request.connection, *model);
  call.start(read->request);
  auto events = co_await call.next();
  http::Response response = to_response(call.model().metadata(), *read, std::move(events.front().response));
  http::compress_response(response, request.header("Accept-Encoding"));
  end_trace(trace, response);
  co_return response;
}

}  // namespace zeta::server::kserve
