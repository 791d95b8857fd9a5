#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "absl/strings/str_cat.h"
#include "src/text/model_file.h"
#include "src/text/rust_text.h"
#include "src/text/tokenizer.h"

namespace zeta::text {

namespace {

namespace json = boost::json;

struct FreeTemplate {
  void operator()(zeta_text_template* chat_template) const { zeta_text_template_free(chat_template); }
};

struct Source {
  std::string path;
  std::string text;
};

absl::StatusOr<json::object> read_config(const std::string& folder) {
  absl::StatusOr<json::object> config = read_model_json(folder + "/tokenizer_config.json");
  if (absl::IsNotFound(config.status())) return json::object();
  return config;
}

const json::string* string_at(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value ? value->if_string() : nullptr;
}

absl::StatusOr<std::string> default_template(const json::array& templates, const std::string& path) {
  std::string names;
  for (const json::value& item : templates) {
    const json::object* named = item.if_object();
    const json::string* name = named ? string_at(*named, "name") : nullptr;
    const json::string* text = named ? string_at(*named, "template") : nullptr;
    if (!name || !text) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": expected {name, template} in \"chat_template\""));
    }
    if (*name == "default") return std::string(*text);
    names += (names.empty() ? "" : ", ") + std::string(*name);
  }
  return absl::NotFoundError(absl::StrCat(path, ": no chat template named \"default\", only: ", names));
}

absl::StatusOr<Source> read_source(const std::string& folder, const json::object& config) {
  std::string path = folder + "/chat_template.jinja";
  absl::StatusOr<std::string> text = read_model_file(path);
  if (!absl::IsNotFound(text.status())) {
    if (!text.ok()) return text.status();
    return Source{std::move(path), *std::move(text)};
  }
  path = folder + "/tokenizer_config.json";
  const json::value* value = config.if_contains("chat_template");
  if (!value || value->is_null()) {
    return absl::NotFoundError(absl::StrCat(folder,
                                            " has no chat template: expected chat_template.jinja, or "
                                            "\"chat_template\" in tokenizer_config.json"));
  }
  if (value->is_string()) return Source{std::move(path), std::string(value->get_string())};
  if (!value->is_array()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": expected \"chat_template\" to be a string or a list"));
  }
  text = default_template(value->get_array(), path);
  if (!text.ok()) return text.status();
  return Source{std::move(path), *std::move(text)};
}

// A token is a string, or an object with its string as "content".
void add_token(json::object& tokens, std::string_view name, const json::value& value) {
  const json::string* content =
      value.is_object() ? string_at(value.get_object(), "content") : value.if_string();
  if (content) tokens[name] = *content;
}

// What transformers passes to a template beside the messages: every NAME_token, and the model's own names.
json::object special_tokens(const json::object& config) {
  json::object tokens;
  for (const json::key_value_pair& entry : config) {
    if (entry.key().ends_with("_token")) add_token(tokens, entry.key(), entry.value());
  }
  for (const char* group : {"extra_special_tokens", "model_specific_special_tokens"}) {
    const json::value* named = config.if_contains(group);
    if (!named || !named->is_object()) continue;
    for (const json::key_value_pair& entry : named->get_object())
      add_token(tokens, entry.key(), entry.value());
  }
  return tokens;
}

}  // namespace

struct ChatTemplate::Impl {
  std::unique_ptr<zeta_text_template, FreeTemplate> handle;
};

ChatTemplate::ChatTemplate(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ChatTemplate::~ChatTemplate() = default;

absl::StatusOr<std::unique_ptr<ChatTemplate>> ChatTemplate::load(const std::string& folder) {
  absl::StatusOr<json::object> config = read_config(folder);
  if (!config.ok()) return config.status();
  absl::StatusOr<Source> source = read_source(folder, *config);
  if (!source.ok()) return source.status();

  const std::string variables = json::serialize(special_tokens(*config));
  RustText error;
  zeta_text_template* handle = nullptr;
  const zeta_text_status status = zeta_text_template_new(
      source->text.data(), source->text.size(), variables.data(), variables.size(), &handle, error.out());
  if (status != ZETA_TEXT_OK) return rust_failure(status, error, source->path);
  auto impl = std::make_unique<Impl>();
  impl->handle.reset(handle);
  return std::unique_ptr<ChatTemplate>(new ChatTemplate(std::move(impl)));
}

absl::StatusOr<std::string> ChatTemplate::render(std::string_view messages_json,
                                                 bool add_generation_prompt) const {
  RustText text, error;
  const zeta_text_status status =
      zeta_text_template_render(impl_->handle.get(), messages_json.data(), messages_json.size(),
                                add_generation_prompt, text.out(), error.out());
  if (status != ZETA_TEXT_OK) return rust_failure(status, error);
  return std::string(text.view());
}

}  // namespace zeta::text
