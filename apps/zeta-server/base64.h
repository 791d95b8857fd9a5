// Base64 (RFC 4648).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace zeta::server {

// The bytes; nothing when `text` holds another character or has another length than such text has. The
// padding may be left out.
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace zeta::server
