// Any bytes, as the body of a request to each API and as a model's configuration. The first byte chooses.
//
// Whatever comes in, nothing may crash or hang; a complaint is InvalidArgument or an ApiError of status 400
// whose own body is JSON; tensors that are accepted hold what their shape says and survive being written and
// read again.
#include <cstdint>
#include <cstring>

#include "apps/zeta-server/json.h"
#include "apps/zeta-server/kserve/infer_json.h"
#include "apps/zeta-server/openai/chat_request.h"
#include "apps/zeta-server/openai/completion_request.h"
#include "apps/zeta-server/openai/error.h"
#include "src/serving/data_type.h"
#include "src/serving/model_config/check.h"
#include "src/serving/model_config/complete.h"
#include "src/serving/model_config/json.h"
#include "src/serving/model_config/parse.h"
#include "src/serving/model_config/policy.h"
#include "src/serving/model_config/supported.h"
#include "src/serving/tensor.h"
#include "tests/fuzz/check.h"

namespace zeta::server {
namespace {

void check_tensor(const serving::Tensor& tensor) {
  const auto count = serving::element_count(tensor.shape);
  check(count.ok(), "a shape that cannot be");
  const size_t element = serving::element_size(tensor.datatype);
  if (element == 0) {
    check(serving::bytes_elements(tensor).ok(), "a damaged BYTES tensor");
  } else {
    check(tensor.data.size == static_cast<size_t>(*count) * element, "a tensor's bytes do not fit its shape");
  }
}

bool equal(const serving::Tensor& a, const serving::Tensor& b) {
  return a.name == b.name && a.datatype == b.datatype && a.shape == b.shape && a.data.size == b.data.size &&
         (a.data.size == 0 || std::memcmp(a.data.data, b.data.data, a.data.size) == 0);
}

absl::StatusOr<kserve::ReadRequest> read(std::string_view body, size_t json_size) {
  static const serving::SharedMemoryRegistry none(false);
  return kserve::read_infer_request({std::make_shared<const std::string>(body), json_size, "model", none});
}

// Answers with what was asked, and asks that.
void write_and_read(const kserve::ReadRequest& request) {
  serving::InferResponse response;
  response.outputs = request.request->inputs;
  response.parameters = request.request->parameters;
  kserve::ReadRequest all = request;
  all.outputs.clear();
  all.binary_output = true;  // any type and value has that form
  auto written = kserve::write_infer_response({}, all, response);
  check(written.ok(), "what was read cannot be written");
  std::string& text = written->json;
  text.replace(text.rfind("\"outputs\":["), sizeof "\"outputs\"" - 1, "\"inputs\"");
  const size_t json_size = text.size();
  for (const http::BodyPiece& piece : written->tail) text += piece.bytes;
  const auto again = read(text, json_size);
  check(again.ok(), "what was written cannot be read");
  const auto& inputs = again->request->inputs;
  check(inputs.size() == request.request->inputs.size(), "tensors got lost");
  for (size_t i = 0; i < inputs.size(); ++i) {
    check(equal(inputs[i], request.request->inputs[i]), "a tensor has changed");
  }
  check(
      again->request->parameters == request.request->parameters && again->request->id == request.request->id,
      "a parameter has changed");
}

void infer(std::string_view body, size_t json_size) {
  const auto read_request = read(body, std::min(json_size, body.size()));
  check(read_request.ok() || absl::IsInvalidArgument(read_request.status()) ||
            absl::IsUnavailable(read_request.status()),
        "not the client's fault");
  if (read_request.ok()) write_and_read(*read_request);
}

void generate(std::string_view body, openai::GenerationRequest (*read)(const json::object&)) {
  const auto parsed = parse_json(body);
  if (!parsed.ok() || !parsed->is_object()) return;
  try {
    const openai::GenerationRequest request = read(parsed->get_object());
    check(!request.prompts.empty() && request.choices() > 0, "nothing to do");
    check(request.choices() <= openai::kMaxChoices, "too much to do");
    for (const serving::Tensor& prompt : request.prompts) check_tensor(prompt);
  } catch (const openai::ApiError& error) {
    check(error.status() == 400, "not the client's fault");
    check(parse_json(openai::error_body(error)).ok(), "a complaint that is not JSON");
  }
}

// A configuration that passes all checks is one that the rest of the server can work with.
void configure(absl::StatusOr<inference::ModelConfig> config) {
  check(config.ok() || absl::IsInvalidArgument(config.status()), "not the file's fault");
  if (!config.ok()) return;
  config->set_name("m");
  serving::normalise_model_config(*config);
  const std::string text = serving::model_config_json(*config);
  const auto again = serving::parse_model_config_json(text);
  check(again.ok() && serving::model_config_json(*again) == text, "a field has changed");
  if (!serving::check_scheduling(*config).ok() || !serving::check_tensors(*config).ok()) return;
  const bool supported = serving::check_supported(*config).ok();
  serving::client_metadata(*config, "1");
  serving::model_inputs(*config);
  serving::model_outputs(*config);
  config->clear_model_warmup();  // may rightly be large
  const auto policy = serving::scheduling_policy(*config, "/nonexistent");
  check(!supported || !policy.ok() || policy->max_batch_size >= 0, "a negative batch");
}

}  // namespace
}  // namespace zeta::server

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace zeta::server;
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0]) {
    case 'i':
      infer(rest, rest.size());
      return 0;
    case 'b':  // the next byte says how much is JSON
      if (!rest.empty()) infer(rest.substr(1), static_cast<uint8_t>(rest.front()));
      return 0;
    case 'c':
      generate(rest, openai::read_chat_request);
      return 0;
    case 'p':
      generate(rest, openai::read_completion_request);
      return 0;
    case 'm':
      configure(zeta::serving::parse_model_config(rest, ""));
      return 0;
    case 'j':
      configure(zeta::serving::parse_model_config_json(rest));
      return 0;
    default:
      return -1;  // of no interest: keep it out of the corpus
  }
}
