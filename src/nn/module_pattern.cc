#include "src/nn/module_pattern.h"

#include <fmt/format.h>

#include "src/nn/model_error.h"

namespace zeta::nn {
namespace {

// std::regex recurses with the pattern's length, and reads numbers into an int without a look at overflow.
constexpr size_t kLongestPattern = 1024;
constexpr size_t kLongestNumber = 4;

// libstdc++'s way to match in polynomial time; by default `(.*)*x` takes years to fail on a module's name.
constexpr auto kSyntax = std::regex_constants::ECMAScript | std::regex_constants::__polynomial;

bool has_longer_number(std::string_view text) {
  size_t digits = 0;
  for (const char c : text) {
    digits = c >= '0' && c <= '9' ? digits + 1 : 0;
    if (digits > kLongestNumber) return true;
  }
  return false;
}

std::regex compile(const std::string& text, std::string_view where) {
  if (text.size() > kLongestPattern) {
    throw ModelError(fmt::format("{}: expected patterns of at most {} characters, got {}", where,
                                 kLongestPattern, text.size()));
  }
  if (has_longer_number(text)) {
    throw ModelError(
        fmt::format("{}: '{}': expected numbers of at most {} digits", where, text, kLongestNumber));
  }
  try {
    return std::regex(text, kSyntax);
  } catch (const std::regex_error& error) {
    throw ModelError(fmt::format("{}: '{}' is not a regular expression: {}", where, text, error.what()));
  }
}

}  // namespace

ModulePattern ModulePattern::transformers(const std::string& text, std::string_view where) {
  ModulePattern pattern;
  pattern.start_ = compile(text, where);
  pattern.end_ = text;
  return pattern;
}

ModulePattern ModulePattern::compressed_tensors(const std::string& text, std::string_view where) {
  ModulePattern pattern;
  if (text.starts_with("re:")) {
    pattern.start_ = compile(text.substr(3), where);
  } else if (text == "Linear") {
    pattern.end_ = "";
  } else {
    pattern.whole_ = text;
  }
  return pattern;
}

bool ModulePattern::matches(const std::string& module) const {
  return (start_ && std::regex_search(module, *start_, std::regex_constants::match_continuous)) ||
         (end_ && module.ends_with(*end_)) || (whole_ && module == *whole_);
}

}  // namespace zeta::nn
