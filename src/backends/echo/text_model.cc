#include "src/backends/echo/text_model.h"

#include <algorithm>
#include <boost/json.hpp>
#include <string>
#include <utility>

#include "src/backends/echo/text_request.h"
#include "src/base/concat.h"
#include "src/serving/tensor.h"

namespace zeta::echo {
namespace {

namespace json = boost::json;

constexpr double kLogprob = -0.5;  // of every word; its rivals have one less each

void fail(serving::ResponseSink& sink, absl::Status status) {
  serving::InferResponse response;
  response.status = std::move(status);
  sink.send(std::move(response));
}

json::object describe_token(std::string_view token, double logprob) {
  json::array bytes;
  for (const unsigned char byte : token) bytes.push_back(byte);
  return {{"token", token}, {"logprob", logprob}, {"bytes", std::move(bytes)}};
}

std::string describe_logprobs(std::string_view token, int64_t rivals) {
  json::object described = describe_token(token, kLogprob);
  json::array top;
  for (int64_t i = 0; i < rivals; ++i) {
    const std::string name = i == 0 ? std::string(token) : concat(token, "~", i);
    top.push_back(describe_token(name, kLogprob - static_cast<double>(i)));
  }
  described["top_logprobs"] = std::move(top);
  return json::serialize(json::array{std::move(described)});
}

// One request on its way through the words.
class Recital final : public Task {
 public:
  Recital(TextRequest text, std::shared_ptr<const serving::InferRequest> request,
          std::shared_ptr<serving::ResponseSink> sink, TextModel::Counters& counters)
      : text_(std::move(text)),
        request_(std::move(request)),
        sink_(std::move(sink)),
        counters_(counters),
        limit_(
            std::min<size_t>(text_.words.size(), static_cast<size_t>(text_.max_tokens.value_or(INT32_MAX)))) {
    counters_.in_flight += 1;
  }
  ~Recital() override { counters_.in_flight -= 1; }

  bool step() override {
    if (request_->cancellation->cancelled()) {
      counters_.cancelled += 1;
      fail(*sink_, absl::CancelledError("the client has gone"));
      return false;
    }
    const bool stops = position_ < limit_ && is_stop(text_.words[position_]);
    if (stops || limit_ == 0) {
      finish(make_response("", {}), "stop");
      return false;
    }
    auto response = make_response(text_.words[position_], {text_.token_ids[position_]});
    ++position_;
    if (position_ < limit_) {
      response.final = false;
      sink_->send(std::move(response));
      return true;
    }
    finish(std::move(response), limit_ < text_.words.size() ? "length" : "stop");
    return false;
  }

  void stop() override { fail(*sink_, absl::UnavailableError("the model is being unloaded")); }

 private:
  bool is_stop(std::string_view word) const {
    return std::ranges::any_of(
        text_.stop, [&](const std::string& stop) { return word.find(stop) != std::string_view::npos; });
  }

  serving::InferResponse make_response(std::string_view word, std::vector<int32_t> ids) const {
    serving::InferResponse response;
    response.outputs.push_back(serving::bytes_tensor("text_output", {word}));
    response.outputs.push_back(serving::int32_tensor("token_ids", ids));
    if (text_.logprobs && !ids.empty()) {
      response.outputs.push_back(
          serving::bytes_tensor("logprobs", {describe_logprobs(word, *text_.logprobs)}));
    }
    return response;
  }

  void finish(serving::InferResponse response, const char* reason) {
    response.final = true;
    response.parameters["finish_reason"] = std::string(reason);
    response.parameters["prompt_tokens"] = static_cast<int64_t>(text_.words.size());
    response.parameters["completion_tokens"] = static_cast<int64_t>(position_);
    sink_->send(std::move(response));
  }

  const TextRequest text_;
  const std::shared_ptr<const serving::InferRequest> request_;
  const std::shared_ptr<serving::ResponseSink> sink_;
  TextModel::Counters& counters_;
  const size_t limit_;
  size_t position_ = 0;
};

}  // namespace

TextModel::TextModel(const Settings& settings) : settings_(settings), ticker_(settings.delay) {
  using serving::DataType;
  metadata_.platform = "echo";
  metadata_.inputs = {{"text_input", DataType::kBytes, {1}, true},
                      {"messages", DataType::kBytes, {1}, true},
                      {"input_ids", DataType::kInt32, {-1}, true}};
  metadata_.outputs = {{"text_output", DataType::kBytes, {1}},
                       {"token_ids", DataType::kInt32, {-1}},
                       {"logprobs", DataType::kBytes, {1}}};
  metadata_.decoupled = true;
}

void TextModel::infer(std::shared_ptr<const serving::InferRequest> request,
                      std::shared_ptr<serving::ResponseSink> sink) {
  auto text = parse_text_request(*request);
  if (!text.ok()) return fail(*sink, text.status());
  const auto prompt = static_cast<int64_t>(text->words.size());
  if (prompt > settings_.context) {
    return fail(*sink, absl::OutOfRangeError(concat("expected a prompt of at most ", settings_.context,
                                                    " tokens, got ", prompt)));
  }
  if (counters_.in_flight >= settings_.max_in_flight) {
    return fail(*sink, absl::ResourceExhaustedError(
                           concat("the queue of ", settings_.max_in_flight, " requests is full")));
  }
  ticker_.add(std::make_unique<Recital>(*std::move(text), std::move(request), std::move(sink), counters_));
}

std::vector<serving::MetricSample> TextModel::metrics() const {
  using Kind = serving::MetricSample::Kind;
  return {
      {"echo_in_flight", "Requests being recited", Kind::kGauge, static_cast<double>(counters_.in_flight)},
      {"echo_cancelled_total", "Requests that saw their client go", Kind::kCounter,
       static_cast<double>(counters_.cancelled)}};
}

}  // namespace zeta::echo
