// Typed reading of a JSON object from a model folder. Every complaint is a ModelError that names the file,
// the path of the key inside it, the value found and what was expected.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace zeta::nn {

class JsonObject {
 public:
  // Reads a file of at most `max_bytes`.
  static JsonObject read_file(const std::string& path, size_t max_bytes = 64u << 20);
  static JsonObject parse(std::string_view text, std::string where);

  JsonObject(std::string where, boost::json::object object);

  // How complaints call this object: `FILE` or `FILE: key.key`.
  const std::string& where() const { return where_; }
  const boost::json::object& raw() const { return object_; }

  // Absent and null are the same.
  bool has(std::string_view key) const;

  // Without a fallback the key must be there.
  int64_t integer(std::string_view key, int64_t min, int64_t max, std::optional<int64_t> fallback = {}) const;
  double number(std::string_view key, double min, double max, std::optional<double> fallback = {}) const;
  bool boolean(std::string_view key, std::optional<bool> fallback = {}) const;
  std::string string(std::string_view key, std::optional<std::string> fallback = {}) const;
  std::vector<std::string> strings(std::string_view key) const;  // absent: none
  std::vector<int64_t> integers(std::string_view key) const;     // one number or a list; absent: none
  std::optional<JsonObject> object(std::string_view key) const;
  JsonObject required_object(std::string_view key) const;

  // A string that must be one of `allowed`.
  std::string one_of(std::string_view key, std::initializer_list<std::string_view> allowed,
                     std::optional<std::string> fallback = {}) const;

  // Throws ModelError for a key that is none of `read` but nearly one: its value would be passed over, and
  // the default taken. Other keys are the business of whoever wrote them.
  void refuse_misspelt(std::initializer_list<std::string_view> read) const;

  // Throws ModelError "WHERE: key = VALUE: problem".
  [[noreturn]] void fail(std::string_view key, std::string_view problem) const;

 private:
  const boost::json::value* find(std::string_view key) const;
  const boost::json::value& required(std::string_view key) const;

  std::string where_;
  boost::json::object object_;
};

}  // namespace zeta::nn
