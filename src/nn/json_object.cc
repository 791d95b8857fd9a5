#include "src/nn/json_object.h"

#include <fmt/format.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include "src/base/nearest.h"
#include "src/nn/model_error.h"

namespace zeta::nn {
namespace json = boost::json;
namespace {

constexpr size_t kLongestQuotedValue = 120;

std::string quoted(const json::value& value) {
  std::string text = json::serialize(value);
  if (text.size() > kLongestQuotedValue) text = text.substr(0, kLongestQuotedValue) + "…";
  return text;
}

bool as_integer(const json::value& value, int64_t& out) {
  json::error_code error;
  out = value.to_number<int64_t>(error);
  return value.is_number() && !error;
}

}  // namespace

JsonObject JsonObject::read_file(const std::string& path, size_t max_bytes) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  if (error) throw ModelError(fmt::format("{}: cannot read: {}", path, error.message()));
  if (size > max_bytes) {
    throw ModelError(fmt::format("{}: expected at most {} bytes, got {}", path, max_bytes, size));
  }
  std::string text(size, '\0');
  std::ifstream file(path, std::ios::binary);
  if (!file) throw ModelError(fmt::format("{}: cannot read: {}", path, std::strerror(errno)));
  if (!file.read(text.data(), static_cast<std::streamsize>(size))) {
    throw ModelError(fmt::format("{}: cannot read {} bytes", path, size));
  }
  return parse(text, path);
}

JsonObject JsonObject::parse(std::string_view text, std::string where) {
  json::error_code error;
  json::value value = json::parse({text.data(), text.size()}, error);
  if (error) throw ModelError(fmt::format("{}: not valid JSON: {}", where, error.message()));
  if (!value.is_object())
    throw ModelError(fmt::format("{}: expected a JSON object, got {}", where, quoted(value)));
  return {std::move(where), std::move(value.get_object())};
}

JsonObject::JsonObject(std::string where, json::object object)
    : where_(std::move(where)), object_(std::move(object)) {}

const json::value* JsonObject::find(std::string_view key) const {
  const json::value* value = object_.if_contains({key.data(), key.size()});
  return value && !value->is_null() ? value : nullptr;
}

bool JsonObject::has(std::string_view key) const { return find(key) != nullptr; }

const json::value& JsonObject::required(std::string_view key) const {
  if (const json::value* value = find(key)) return *value;
  throw ModelError(fmt::format("{}: key '{}' is missing", where_, key));
}

void JsonObject::fail(std::string_view key, std::string_view problem) const {
  const json::value* value = find(key);
  throw ModelError(fmt::format("{}: {} = {}: {}", where_, key, value ? quoted(*value) : "null", problem));
}

int64_t JsonObject::integer(std::string_view key, int64_t min, int64_t max,
                            std::optional<int64_t> fallback) const {
  if (fallback && !has(key)) return *fallback;
  int64_t number = 0;
  if (!as_integer(required(key), number) || number < min || number > max) {
    fail(key, fmt::format("expected an integer from {} to {}", min, max));
  }
  return number;
}

double JsonObject::number(std::string_view key, double min, double max,
                          std::optional<double> fallback) const {
  if (fallback && !has(key)) return *fallback;
  json::error_code error;
  const double number = required(key).to_number<double>(error);
  if (error || !(number >= min && number <= max)) {
    fail(key, fmt::format("expected a number from {} to {}", min, max));
  }
  return number;
}

bool JsonObject::boolean(std::string_view key, std::optional<bool> fallback) const {
  if (fallback && !has(key)) return *fallback;
  const bool* value = required(key).if_bool();
  if (!value) fail(key, "expected true or false");
  return *value;
}

std::string JsonObject::string(std::string_view key, std::optional<std::string> fallback) const {
  if (fallback && !has(key)) return *fallback;
  const json::string* value = required(key).if_string();
  if (!value) fail(key, "expected a string");
  return {value->data(), value->size()};
}

std::vector<std::string> JsonObject::strings(std::string_view key) const {
  std::vector<std::string> out;
  if (!has(key)) return out;
  const json::array* list = find(key)->if_array();
  if (!list) fail(key, "expected a list of strings");
  for (const json::value& item : *list) {
    if (!item.is_string()) fail(key, "expected a list of strings");
    out.emplace_back(item.get_string().data(), item.get_string().size());
  }
  return out;
}

std::vector<int64_t> JsonObject::integers(std::string_view key) const {
  if (!has(key)) return {};
  const json::value& value = *find(key);
  std::vector<int64_t> out(1);
  if (as_integer(value, out[0])) return out;
  out.clear();
  const json::array* list = value.if_array();
  if (!list) fail(key, "expected an integer or a list of integers");
  for (const json::value& item : *list) {
    if (!as_integer(item, out.emplace_back())) fail(key, "expected an integer or a list of integers");
  }
  return out;
}

std::optional<JsonObject> JsonObject::object(std::string_view key) const {
  if (!has(key)) return std::nullopt;
  const json::object* value = find(key)->if_object();
  if (!value) fail(key, "expected an object");
  const char* separator = where_.find(": ") == std::string::npos ? ": " : ".";
  return JsonObject(fmt::format("{}{}{}", where_, separator, key), *value);
}

JsonObject JsonObject::required_object(std::string_view key) const {
  required(key);
  return *object(key);
}

std::string JsonObject::one_of(std::string_view key, std::initializer_list<std::string_view> allowed,
                               std::optional<std::string> fallback) const {
  std::string value = string(key, std::move(fallback));
  std::string expected;
  for (std::string_view candidate : allowed) {
    if (value == candidate) return value;
    expected += fmt::format("{}{}", expected.empty() ? "" : " or ", candidate);
  }
  fail(key, "not supported; expected " + expected);
}

void JsonObject::refuse_misspelt(std::initializer_list<std::string_view> read) const {
  for (const auto& member : object_) {
    const std::string_view key = member.key();
    const std::string_view meant = nearest(key, read);
    if (!meant.empty() && meant != key) fail(key, fmt::format("unknown key; did you mean {}?", meant));
  }
}

}  // namespace zeta::nn
