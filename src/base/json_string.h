// Text of any origin as a JSON string.
#pragma once

#include <string>
#include <string_view>

namespace zeta {

// Whether `text` is well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms, at most U+10FFFF).
bool is_utf8(std::string_view text);

// Appends `text`, quoted and escaped, to `out`. Bytes that are not UTF-8 become U+FFFD, so that the result is
// valid JSON whatever the input.
void append_json_string(std::string& out, std::string_view text);

}  // namespace zeta
