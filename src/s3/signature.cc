#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>

#include "src/base/concat.h"
#include "src/s3/credentials.h"

namespace zeta::s3 {
namespace {

constexpr std::string_view kEmptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

std::string hex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const char byte : bytes) {
    text += kDigits[static_cast<unsigned char>(byte) >> 4];
    text += kDigits[static_cast<unsigned char>(byte) & 15];
  }
  return text;
}

std::string sha256(std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned size = 0;
  EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha256(), nullptr);
  return {reinterpret_cast<const char*>(digest.data()), size};
}

std::string hmac(std::string_view key, std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data(), &size);
  return {reinterpret_cast<const char*>(digest.data()), size};
}

std::string format_time(std::time_t time, const char* format) {
  std::tm utc{};
  gmtime_r(&time, &utc);
  std::array<char, 32> text{};
  return {text.data(), std::strftime(text.data(), text.size(), format, &utc)};
}

}  // namespace

std::string encode(std::string_view text, bool is_path) {
  std::string encoded;
  for (const char letter : text) {
    const bool plain = (letter >= 'A' && letter <= 'Z') || (letter >= 'a' && letter <= 'z') ||
                       (letter >= '0' && letter <= '9') || letter == '-' || letter == '.' || letter == '_' ||
                       letter == '~' || (is_path && letter == '/');
    if (plain) {
      encoded += letter;
      continue;
    }
    std::string digits = hex({&letter, 1});
    for (char& digit : digits) digit = static_cast<char>(digit >= 'a' ? digit - 'a' + 'A' : digit);
    encoded += concat("%", digits);
  }
  return encoded;
}

std::string encode_query(std::vector<std::pair<std::string, std::string>> query) {
  std::ranges::sort(query);
  std::string text;
  for (const auto& [name, value] : query) {
    text += concat(text.empty() ? "" : "&", encode(name, false), "=", encode(value, false));
  }
  return text;
}

Headers sign(const SignedRequest& request, const Credentials& credentials, std::time_t time) {
  if (credentials.anonymous()) return {};
  const std::string date = format_time(time, "%Y%m%d"), moment = format_time(time, "%Y%m%dT%H%M%SZ");
  Headers headers{{"x-amz-content-sha256", std::string(kEmptyHash)}, {"x-amz-date", moment}};
  if (!credentials.session_token.empty()) {
    headers.emplace_back("x-amz-security-token", credentials.session_token);
  }
  std::string canonical = concat("host:", request.host, "\n"), names = "host";
  for (const auto& [name, value] : headers) {
    canonical += concat(name, ":", value, "\n");
    names += concat(";", name);
  }
  const std::string whole = concat(request.method, "\n", request.path, "\n", encode_query(request.query),
                                   "\n", canonical, "\n", names, "\n", kEmptyHash);
  const std::string scope = concat(date, "/", credentials.region, "/s3/aws4_request");
  const std::string to_sign = concat("AWS4-HMAC-SHA256\n", moment, "\n", scope, "\n", hex(sha256(whole)));
  std::string key = concat("AWS4", credentials.secret);
  for (const std::string& part : {date, credentials.region, std::string("s3"), std::string("aws4_request")}) {
    key = hmac(key, part);
  }
  headers.emplace_back("Authorization",
                       concat("AWS4-HMAC-SHA256 Credential=", credentials.key_id, "/", scope,
                              ", SignedHeaders=", names, ", Signature=", hex(hmac(key, to_sign))));
  return headers;
}

}  // namespace zeta::s3
