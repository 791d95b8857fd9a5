// Text that the Rust crate hands over, and its failures as statuses.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "zeta_text.h"

namespace zeta::text {

class RustText {
 public:
  RustText() = default;
  RustText(const RustText&) = delete;
  RustText& operator=(const RustText&) = delete;
  ~RustText() { zeta_text_string_free(&raw_); }

  zeta_text_string* out() { return &raw_; }
  std::string_view view() const { return {raw_.data, raw_.size}; }

 private:
  zeta_text_string raw_{};
};

// The failure `status` (not ZETA_TEXT_OK) with its message, after `where` if that is not empty.
absl::Status rust_failure(zeta_text_status status, const RustText& message, const std::string& where = "");

}  // namespace zeta::text
