// One entry of the lists by which a `quantization_config` selects layers, matched as transformers and
// compressed-tensors match it.
#pragma once

#include <optional>
#include <regex>
#include <string>
#include <string_view>

namespace zeta::nn {

class ModulePattern {
 public:
  // An entry of `modules_to_not_convert`: a regular expression matched from the name's start, or the name's
  // end. Throws ModelError, calling the entry's list `where`.
  static ModulePattern transformers(const std::string& text, std::string_view where);
  // An entry of `targets` or `ignore`: `re:` and a regular expression matched from the name's start, the
  // class name `Linear`, or a whole name.
  static ModulePattern compressed_tensors(const std::string& text, std::string_view where);

  // `module` is a linear layer's full name, "model.layers.0.mlp.up_proj".
  bool matches(const std::string& module) const;

 private:
  std::optional<std::regex> start_;
  std::optional<std::string> end_;
  std::optional<std::string> whole_;
};

}  // namespace zeta::nn
