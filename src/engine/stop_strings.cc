#include "src/engine/stop_strings.h"

#include <algorithm>
#include <utility>

namespace zeta::engine {

std::string StopStrings::push(std::string_view piece) {
  if (matched_) return "";
  pending_ += piece;
  size_t first = std::string::npos;
  for (const std::string& stop : stop_) first = std::min(first, pending_.find(stop));
  matched_ = first != std::string::npos;
  const size_t shown = matched_ ? first : pending_.size() - held_length();
  std::string out = pending_.substr(0, shown);
  pending_.erase(0, matched_ ? pending_.size() : shown);
  return out;
}

std::string StopStrings::finish() { return std::exchange(pending_, {}); }

// The longest end of pending_ that begins a stop string.
size_t StopStrings::held_length() const {
  const std::string_view pending = pending_;
  size_t held = 0;
  for (const std::string& stop : stop_) {
    for (size_t n = std::min(stop.size() - 1, pending.size()); n > held; --n) {
      if (pending.ends_with(std::string_view(stop).substr(0, n))) held = n;
    }
  }
  return held;
}

}  // namespace zeta::engine
