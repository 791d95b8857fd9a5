// The members of a request's JSON object, read one by one so that none goes unnoticed.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace zeta::server::openai {

// A member that is null counts as absent, as clients send null for what they leave out. Every reader throws
// ApiError naming the member when its value has the wrong type or is out of range.
class Fields {
 public:
  // `object` outlives this. `prefix` precedes names in errors: "messages[0]."
  explicit Fields(const boost::json::object& object, std::string prefix = "");

  // nullptr when absent.
  const boost::json::value* any(std::string_view name);
  std::optional<bool> boolean(std::string_view name);
  std::optional<int64_t> integer(std::string_view name, int64_t min, int64_t max);
  std::optional<double> number(std::string_view name, double min, double max);
  std::optional<std::string> text(std::string_view name);
  // A member that has no effect here.
  void ignore(std::string_view name) { any(name); }

  // Throws ApiError for the first member that was not read.
  void refuse_others() const;

  std::string full_name(std::string_view name) const { return prefix_ + std::string(name); }

 private:
  const boost::json::object& object_;
  const std::string prefix_;
  std::vector<std::string_view> read_;
};

}  // namespace zeta::server::openai
