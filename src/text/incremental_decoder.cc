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
  if (!text.ok()) {
    window_.pop_back();
    return text.status();
  }
  const size_t settled = std::max(settled_size(*text), shown_.size());
  std::string delta = text->substr(shown_.size(), settled - shown_.size());
  shown_ += delta;

  if (settled == text->size() && !delta.empty()) {
    window_.erase(window_.begin(), window_.begin() + context_size_);
    context_size_ = window_.size();
    absl::StatusOr<std::string> context = tokenizer_.decode(window_, skip_special_tokens_);
    if (!context.ok()) return context.status();
    shown_ = *std::move(context);
  } else if (window_.size() - context_size_ >= kMaxPending) {
    absl::StatusOr<std::string> rest = shrink_window(*text);
    if (!rest.ok()) return rest.status();
    delta += *rest;
  }
  return delta;
}

absl::StatusOr<std::string> IncrementalDecoder::finish() {
  absl::StatusOr<std::string> text = decode_window();
  if (text.ok()) text->erase(0, shown_.size());
  window_.clear();
  context_size_ = 0;
  shown_.clear();
  return text;
}

// The text of the window, which begins with `shown_`. Byte fallback turns a whole run of bytes into U+FFFD
// when its last character is unfinished, those already given out included; the context is dropped then.
absl::StatusOr<std::string> IncrementalDecoder::decode_window() {
  absl::StatusOr<std::string> text = tokenizer_.decode(window_, skip_special_tokens_);
  if (!text.ok() || text->starts_with(shown_)) return text;
  window_.erase(window_.begin(), window_.begin() + context_size_);
  context_size_ = 0;
  shown_.clear();
  return tokenizer_.decode(window_, skip_special_tokens_);
}

// Forgets tokens that would otherwise wait without end: those without text, or bytes that never become a
// character. Cuts where the two sides decode apart as they do together, so not inside a character. Returns
// what this settles.
absl::StatusOr<std::string> IncrementalDecoder::shrink_window(const std::string& text) {
  if (text == shown_) {
    window_.resize(context_size_);
    return std::string();
  }
  for (size_t cut = window_.size() - kMaxUnfinished; cut > context_size_; --cut) {
    const auto middle = window_.begin() + cut;
    absl::StatusOr<std::string> head = tokenizer_.decode({window_.begin(), middle}, skip_special_tokens_);
    absl::StatusOr<std::string> tail = tokenizer_.decode({middle, window_.end()}, skip_special_tokens_);
    if (!head.ok()) return head.status();
    if (!tail.ok()) return tail.status();
    if (*head + *tail != text) continue;
    const size_t settled = std::max(shown_.size(), head->size());
    std::string delta = text.substr(shown_.size(), settled - shown_.size());
    window_.erase(window_.begin(), middle);
    context_size_ = 0;
    shown_ = text.substr(head->size(), settled - head->size());
    return delta;
  }
  return finish();
}

}  // namespace zeta::text
