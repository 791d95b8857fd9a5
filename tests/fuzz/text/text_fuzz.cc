// Any bytes, through each door of the text part. The first byte chooses the door.
//
// Whatever comes in, nothing may crash, hang or panic (which the Rust side reports as ZETA_TEXT_INTERNAL),
// text that was encoded decodes to itself, and a stream gives valid UTF-8 that joins to what decoding at once
// gives.
#include <cstdint>
#include <cstring>

#include "src/text/rust_text.h"
#include "src/text/tokenizer.h"
#include "tests/fuzz/check.h"

namespace zeta::text {
namespace {

std::unique_ptr<Tokenizer> golden(const std::string& scheme) {
  auto tokenizer = Tokenizer::load(ZETA_GOLDEN_DIR "/text/" + scheme);
  check(tokenizer.ok(), "golden tokenizer not found");
  return *std::move(tokenizer);
}

const Tokenizer& byte_level() {
  static const std::unique_ptr<Tokenizer> tokenizer = golden("byte_level");
  return *tokenizer;
}

const Tokenizer& byte_fallback() {
  static const std::unique_ptr<Tokenizer> tokenizer = golden("byte_fallback");
  return *tokenizer;
}

void encode(std::string_view text) {
  const auto ids = byte_level().encode(text, false);
  check(ids.ok() || absl::IsInvalidArgument(ids.status()), "encode failed");
  if (ids.ok()) check(byte_level().decode(*ids, false).value() == text, "text did not survive");
  const auto others = byte_fallback().encode(text, true);
  check(others.ok() == ids.ok(), "tokenizers disagree on what is UTF-8");
}

std::string stream(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  IncrementalDecoder decoder(tokenizer, false);
  std::string joined, lines;
  for (const int32_t id : ids) {
    const std::string piece = decoder.push(id).value();
    joined += piece;
    lines += piece + '\n';
  }
  const std::string rest = decoder.finish().value();
  check(byte_level().encode(lines + rest, false).ok(), "a piece is not UTF-8");
  return joined + rest;
}

void decode(std::string_view bytes) {
  std::vector<int32_t> ids;
  for (size_t i = 0; i + 1 < bytes.size(); i += 2) {
    ids.push_back(static_cast<uint8_t>(bytes[i]) | (static_cast<uint8_t>(bytes[i + 1]) & 3) << 8);
  }
  check(stream(byte_level(), ids) == byte_level().decode(ids, false).value(), "the stream differs");
  stream(byte_fallback(), ids);
}

void load_tokenizer(std::string_view json) {
  RustText error;
  zeta_text_tokenizer* tokenizer = nullptr;
  const auto status = zeta_text_tokenizer_new(json.data(), json.size(), &tokenizer, error.out());
  check(status != ZETA_TEXT_INTERNAL, "loading a tokenizer panicked");
  zeta_text_tokenizer_free(tokenizer);
}

// The template and, after a NUL, the messages.
void render(std::string_view bytes) {
  const size_t nul = std::min(bytes.find('\0'), bytes.size());
  const std::string_view source = bytes.substr(0, nul);
  std::string_view messages = R"([{"role": "user", "content": "hi"}])";
  if (nul + 1 < bytes.size()) messages = bytes.substr(nul + 1);

  RustText error, text;
  zeta_text_template* chat_template = nullptr;
  auto status = zeta_text_template_new(source.data(), source.size(), "{}", 2, &chat_template, error.out());
  if (status == ZETA_TEXT_OK) {
    status = zeta_text_template_render(chat_template, messages.data(), messages.size(), true, text.out(),
                                       error.out());
  }
  check(status != ZETA_TEXT_INTERNAL, "a template panicked");
  zeta_text_template_free(chat_template);
}

}  // namespace
}  // namespace zeta::text

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0]) {
    case 'e':
      zeta::text::encode(rest);
      return 0;
    case 'd':
      zeta::text::decode(rest);
      return 0;
    case 't':
      zeta::text::load_tokenizer(rest);
      return 0;
    case 'r':
      zeta::text::render(rest);
      return 0;
    default:
      return -1;  // of no interest: keep it out of the corpus
  }
}
