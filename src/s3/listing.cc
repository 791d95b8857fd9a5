#include <charconv>
#include <optional>

#include "src/base/concat.h"
#include "src/s3/bucket.h"

namespace zeta::s3 {
namespace {

// The text of the first element of that name; nothing when there is none.
std::optional<std::string_view> element(std::string_view xml, std::string_view name) {
  const std::string open = concat("<", name, ">"), close = concat("</", name, ">");
  const size_t start = xml.find(open);
  if (start == std::string_view::npos) return std::nullopt;
  const size_t end = xml.find(close, start);
  if (end == std::string_view::npos) return std::nullopt;
  return xml.substr(start + open.size(), end - start - open.size());
}

// Takes the first element of that name and what stands before it off `xml`.
std::optional<std::string_view> take_element(std::string_view& xml, std::string_view name) {
  const auto found = element(xml, name);
  if (found) xml.remove_prefix(static_cast<size_t>(found->data() + found->size() - xml.data()));
  return found;
}

std::string unescape(std::string_view text) {
  static constexpr std::pair<std::string_view, char> kEntities[] = {
      {"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&#34;", '"'}, {"&apos;", '\''}};
  std::string plain;
  while (!text.empty()) {
    size_t taken = 1;
    char letter = text.front();
    for (const auto& [entity, meant] : kEntities) {
      if (!text.starts_with(entity)) continue;
      taken = entity.size();
      letter = meant;
    }
    plain += letter;
    text.remove_prefix(taken);
  }
  return plain;
}

// '+' is a space, as in forms.
std::string percent_decode(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    uint8_t value = 0;
    const char* const digits = text.data() + i + 1;
    if (text[i] == '%' && i + 2 < text.size() &&
        std::from_chars(digits, digits + 2, value, 16) == std::from_chars_result{digits + 2, {}}) {
      plain += static_cast<char>(value);
      i += 2;
    } else {
      plain += text[i] == '+' ? ' ' : text[i];
    }
  }
  return plain;
}

std::string key_of(std::string_view text) { return percent_decode(unescape(text)); }

}  // namespace

absl::StatusOr<Listing> parse_listing(std::string_view xml) {
  const auto truncated = element(xml, "IsTruncated");
  if (xml.find("<ListBucketResult") == std::string_view::npos || !truncated) {
    return absl::InvalidArgumentError("the answer is no ListBucketResult");
  }
  Listing listing;
  if (*truncated == "true") {
    listing.next = unescape(element(xml, "NextContinuationToken").value_or(""));
    if (listing.next.empty()) return absl::InvalidArgumentError("a listing goes on without a token");
  }
  std::string_view rest = xml;
  while (const auto contents = take_element(rest, "Contents")) {
    const auto key = element(*contents, "Key"), size = element(*contents, "Size");
    Object object;
    if (!key || !size ||
        std::from_chars(size->data(), size->data() + size->size(), object.size) !=
            std::from_chars_result{size->data() + size->size(), {}}) {
      return absl::InvalidArgumentError("an object is listed without key or size");
    }
    object.key = key_of(*key);
    object.etag = unescape(element(*contents, "ETag").value_or(""));
    listing.objects.push_back(std::move(object));
  }
  rest = xml;
  while (const auto common = take_element(rest, "CommonPrefixes")) {
    if (const auto prefix = element(*common, "Prefix")) listing.folders.push_back(key_of(*prefix));
  }
  return listing;
}

}  // namespace zeta::s3
