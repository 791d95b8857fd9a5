// Identifiers that tie a request's log lines and answers together.
#pragma once

#include <string>
#include <string_view>

namespace zeta {

// 16 hexadecimal digits; unique in practice, not secret. Thread-safe.
std::string make_request_id();

// Whether a client's own id may be taken over: 1 to 128 of [A-Za-z0-9._-], so that it cannot forge log lines.
bool is_valid_request_id(std::string_view id);

}  // namespace zeta
