#include "src/serving/model_config.h"

#include <algorithm>

#include "absl/status/status.h"
#include "src/base/concat.h"

namespace zeta::serving {
namespace {

absl::Status at_line(size_t number, std::string_view what) {
  return absl::InvalidArgumentError(concat("config.pbtxt line ", number, ": ", what));
}

std::string_view strip(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r";
  const size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

// The value behind the colon; empty when there is none.
std::string_view after_colon(std::string_view text) {
  text = strip(text);
  return text.starts_with(':') ? strip(text.substr(1)) : std::string_view();
}

bool parse_quoted(std::string_view value, std::string& text) {
  if (value.size() < 2 || (value.front() != '"' && value.front() != '\'') || value.back() != value.front()) {
    return false;
  }
  text = value.substr(1, value.size() - 2);
  return text.find_first_of("\"'\\") == std::string::npos;
}

absl::Status parse_field(size_t number, std::string_view line, ModelConfig& config) {
  const size_t key_end = std::min(line.find_first_of(" \t:{["), line.size());
  const std::string_view key = line.substr(0, key_end);
  const std::string_view value = after_colon(line.substr(key_end));
  if (key == "name" || key == "backend") {
    if (parse_quoted(value, key == "name" ? config.name : config.backend)) return {};
    return at_line(number, concat("expected ", key, ": \"…\", got '", line, "'"));
  }
  if (key == "max_batch_size") {
    if (value == "0") return {};
    return at_line(number, concat("expected max_batch_size: 0 (no batching), got '", line, "'"));
  }
  return at_line(number, concat("field '", key, "' is not supported; ",
                                "supported are name, backend and max_batch_size"));
}

}  // namespace

absl::StatusOr<ModelConfig> parse_model_config(std::string_view text) {
  ModelConfig config;
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = strip(text.substr(0, std::min(end, text.find('#'))));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty()) continue;
    if (absl::Status status = parse_field(number, line, config); !status.ok()) return status;
  }
  if (config.backend.empty()) {
    return absl::InvalidArgumentError("config.pbtxt: expected a field backend: \"…\"");
  }
  return config;
}

}  // namespace zeta::serving
