#include <algorithm>

#include "src/text/tokenizer.h"

namespace zeta::text {

namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
// An unfinished character has at most 3 bytes; a decoder shows them as one U+FFFD, or as one each.
constexpr size_t kMaxUnfinished = 3;
constexpr size_t kMaxPending = 16;

// How much of `text` no further token can change.
size_t settled_size(std::string_view text) {
  for (size_t i = 0; i < kMaxUnfinished && text.ends_with(kReplacement); ++i) {
    text.remove_suffix(kReplacement.size());
  }
  return text.size();
}

}  // namespace

IncrementalDecoder::IncrementalDecoder(const Tokenizer& tokenizer, bool skip_special_tokens)
    : tokenizer_(tokenizer), skip_special_tokens_(skip_special_tokens) {}

absl::StatusOr<std::string> IncrementalDecoder::push(int32_t id) {
  window_.push_back(id);
  absl::StatusOr<std::string> text = decode_window();
  absl::StatusOr<bool> without_text = text.ok() ? is_without_text(*text) : text.status();
  if (!without_text.ok() || *without_text) {
    window_.pop_back();
    return without_text.ok() ? absl::StatusOr<std::string>("") : without_text.status();
  }
  text_ = *std::move(text);
  const size_t settled = std::max(settled_size(text_), shown_size_);
  std::string delta = text_.substr(shown_size_, settled - shown_size_);
  shown_size_ = settled;

  if (settled == text_.size() && !delta.empty()) {
    if (absl::Status status = keep_as_context(); !status.ok()) return status;
  } else if (window_.size() - context_size_ >= kMaxPending) {
    absl::StatusOr<std::string> rest = shrink_window();
    if (!rest.ok()) return rest.status();
    delta += *rest;
  }
  return delta;
}

absl::StatusOr<std::string> IncrementalDecoder::finish() {
  std::string rest = text_.substr(shown_size_);
  window_.clear();
  context_size_ = 0;
  text_.clear();
  shown_size_ = 0;
  return rest;
}

// The text of the window, which begins with what was shown of it. Byte fallback turns a whole run of bytes
// into U+FFFD while its last character is unfinished, those already given out included; the context is
// dropped then.
absl::StatusOr<std::string> IncrementalDecoder::decode_window() {
  absl::StatusOr<std::string> text = tokenizer_.decode(window_, skip_special_tokens_);
  if (!text.ok() || text->starts_with(text_.substr(0, shown_size_))) return text;
  window_.erase(window_.begin(), window_.begin() + context_size_);
  context_size_ = 0;
  text_.clear();
  shown_size_ = 0;
  return tokenizer_.decode(window_, skip_special_tokens_);
}

// Whether the last token adds nothing to the window, now or later: a skipped or unknown one. While there is
// no text it may still be a space that the decoder strips at the start, which puts the next one's off the
// start.
absl::StatusOr<bool> IncrementalDecoder::is_without_text(const std::string& text) const {
  if (text.empty() || text != text_) return false;
  absl::StatusOr<std::string> alone = tokenizer_.decode({window_.back()}, skip_special_tokens_);
  if (!alone.ok()) return alone.status();
  return alone->empty();
}

absl::Status IncrementalDecoder::keep_as_context() {
  window_.erase(window_.begin(), window_.begin() + context_size_);
  context_size_ = window_.size();
  absl::StatusOr<std::string> text = tokenizer_.decode(window_, skip_special_tokens_);
  if (!text.ok()) return text.status();
  text_ = *std::move(text);
  shown_size_ = text_.size();
  return absl::OkStatus();
}

// Forgets tokens that would otherwise wait without end: those without text, or bytes that never become a
// character. The last ones stay, which hold any unfinished character whole. Where the cut parts an older one
// they show more of U+FFFD before it, so what is still to be given out is counted from the end. Returns what
// this settles.
absl::StatusOr<std::string> IncrementalDecoder::shrink_window() {
  if (shown_size_ == text_.size()) {
    window_.resize(context_size_);
    return std::string();
  }
  window_.erase(window_.begin(), window_.end() - kMaxUnfinished);
  context_size_ = 0;
  absl::StatusOr<std::string> text = tokenizer_.decode(window_, skip_special_tokens_);
  if (!text.ok()) return text.status();
  const size_t held = std::min(text_.size() - shown_size_, text->size() - settled_size(*text));
  std::string delta = text_.substr(shown_size_, text_.size() - held - shown_size_);
  text_ = *std::move(text);
  shown_size_ = text_.size() - held;
  return delta;
}

}  // namespace zeta::text
