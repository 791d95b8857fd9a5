// Ends a text before the first of several stop strings, wherever the pieces it comes in are cut.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace zeta::engine {

// Text that may be the beginning of a stop string is held back until it is known. Not thread-safe: one per
// sequence.
class StopStrings {
 public:
  explicit StopStrings(std::vector<std::string> stop) : stop_(std::move(stop)) {}

  // The text that may be shown now that `piece` has come. After a match nothing more is given.
  std::string push(std::string_view piece);
  // What was held back, once no more text comes.
  std::string finish();
  bool matched() const { return matched_; }

 private:
  size_t held_length() const;

  std::vector<std::string> stop_;
  std::string pending_;  // ends in a proper prefix of a stop string, or is empty, between calls
  bool matched_ = false;
};

}  // namespace zeta::engine
