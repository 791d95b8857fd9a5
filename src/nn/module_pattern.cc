#include "src/nn/module_pattern.h"

#include <fmt/format.h>

#include "src/nn/model_error.h"

namespace zeta::nn {
namespace {

// std::regex recurses with the pattern's length.
constexpr size_t kLongestPattern = 1024;

std::regex compile(const std::string& text, std::string_view where) {
  if (text.size() > kLongestPattern) {
    throw ModelError(fmt::format("{}: expected patterns of at most {} characters, got {}", where,
                                 kLongestPattern, text.size()));
  }
  try {
    return std::regex(text);
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
