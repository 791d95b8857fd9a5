// Compressed bodies (RFC 9110, 8.4).
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "src/http/message.h"

namespace zeta::http {

enum class Coding { kIdentity, kGzip, kDeflate };

// From a Content-Encoding header: "", "identity", "gzip" ("x-gzip") or "deflate", without case; nothing for
// any other.
std::optional<Coding> parse_coding(std::string_view content_encoding);

// The one of gzip and deflate that an Accept-Encoding header rates highest, gzip among equals; kIdentity when
// it accepts neither.
Coding choose_coding(std::string_view accept_encoding);

enum class Inflation { kDone, kDamaged, kTooLarge };
// Replaces `body` by what it was made from, at most `limit` bytes. Both forms are recognised by themselves.
// Bytes behind the end are damage.
Inflation inflate_body(std::string& body, size_t limit);

// Compresses the body of a response, tail and all, as `accept_encoding` allows, unless it is so small that
// this gains nothing; and says so in its headers.
void compress_response(Response& response, std::string_view accept_encoding);

}  // namespace zeta::http
