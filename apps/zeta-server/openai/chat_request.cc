#include "apps/zeta-server/openai/chat_request.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <cstdint>
#include <string>
#include <utility>

#include "apps/zeta-server/json.h"
#include "apps/zeta-server/openai/error.h"
#include "apps/zeta-server/openai/fields.h"
#include "apps/zeta-server/openai/sampling.h"
#include "src/base/concat.h"
#include "src/serving/tensor.h"

namespace zeta::server::openai {
namespace {

constexpr std::string_view kRoles[] = {"system", "developer", "user", "assistant"};
constexpr int64_t kMaxLogprobs = 20;

std::string join_parts(const json::array& parts, const std::string& name) {
  std::string text;
  for (size_t i = 0; i < parts.size(); ++i) {
    const std::string part = concat(name, "[", i, "].");
    if (!parts[i].is_object()) throw bad_value(part, concat("expected '", part, "' to be an object"));
    Fields fields(parts[i].get_object(), part);
    const auto type = fields.text("type");
    if (type != "text") {
      throw bad_value(part + "type",
                      concat("content of type '", type.value_or(""), "' is not supported; send text"),
                      "unsupported_value");
    }
    text += fields.text("text").value_or("");
    fields.refuse_others();
  }
  return text;
}

json::object read_message(const json::value& value, const std::string& prefix) {
  if (!value.is_object()) throw bad_value(prefix, concat("expected '", prefix, "' to be an object"));
  Fields fields(value.get_object(), prefix + ".");
  const auto role = fields.text("role");
  if (!role || std::ranges::find(kRoles, *role) == std::end(kRoles)) {
    throw bad_value(prefix + ".role", concat("expected a role of system, developer, user or assistant, got '",
                                             role.value_or(""), "'"));
  }
  const auto* content = fields.any("content");
  if (content == nullptr || (!content->is_string() && !content->is_array())) {
    throw bad_value(prefix + ".content",
                    concat("expected '", prefix, ".content' to be a string or a list of text parts"));
  }
  fields.ignore("name");
  fields.refuse_others();
  const std::string text = content->is_string() ? std::string(to_view(content->get_string()))
                                                : join_parts(content->get_array(), prefix + ".content");
  return {{"role", *role == "developer" ? "system" : *role}, {"content", text}};
}

void read_messages(Fields& fields, GenerationRequest& request) {
  const auto* value = fields.any("messages");
  if (value == nullptr || !value->is_array() || value->get_array().empty()) {
    throw bad_value("messages", "you must provide messages: a list with at least one",
                    "missing_required_parameter");
  }
  json::array messages;
  for (size_t i = 0; i < value->get_array().size(); ++i) {
    messages.push_back(read_message(value->get_array()[i], concat("messages[", i, "]")));
  }
  request.prompts.push_back(serving::bytes_tensor("messages", {json::serialize(messages)}));
}

void read_max_tokens(Fields& fields, GenerationRequest& request) {
  const auto old_name = fields.integer("max_tokens", 1, INT32_MAX);
  const auto new_name = fields.integer("max_completion_tokens", 1, INT32_MAX);
  if (old_name && new_name && *old_name != *new_name) {
    throw bad_value("max_tokens", "'max_tokens' and 'max_completion_tokens' contradict each other");
  }
  if (const auto limit = new_name ? new_name : old_name) request.parameters["max_tokens"] = *limit;
}

void read_logprobs(Fields& fields, GenerationRequest& request) {
  const bool wanted = fields.boolean("logprobs").value_or(false);
  const auto top = fields.integer("top_logprobs", 0, kMaxLogprobs);
  if (top && !wanted) throw bad_value("top_logprobs", "'top_logprobs' goes with logprobs=true");
  if (wanted) request.logprobs = top.value_or(0);
}

// The one form that asks for nothing special.
void read_response_format(Fields& fields) {
  const auto* value = fields.any("response_format");
  if (value == nullptr) return;
  const auto* object = value->if_object();
  const auto* type = object == nullptr ? nullptr : object->if_contains("type");
  if (type == nullptr || *type != json::value("text")) {
    throw bad_value("response_format", "'response_format' is supported with type text only",
                    "unsupported_parameter");
  }
}

}  // namespace

GenerationRequest read_chat_request(const json::object& body) {
  Fields fields(body);
  GenerationRequest request;
  read_common_fields(fields, request);
  read_messages(fields, request);
  read_max_tokens(fields, request);
  read_logprobs(fields, request);
  read_response_format(fields);
  fields.refuse_others();
  return request;
}

}  // namespace zeta::server::openai
