#include "apps/zeta-server/tracing/trace_context.h"

#include <algorithm>
#include <random>

namespace zeta::server {
namespace {

constexpr size_t kLength = 55;  // 00-TRACE-SPAN-FLAGS
constexpr size_t kMaxState = 512;

// Lower case only, as the standard wants.
std::optional<uint8_t> digit(char letter) {
  if (letter >= '0' && letter <= '9') return static_cast<uint8_t>(letter - '0');
  if (letter >= 'a' && letter <= 'f') return static_cast<uint8_t>(letter - 'a' + 10);
  return std::nullopt;
}

// False when that is no hexadecimal number.
template <size_t size>
bool read_hex(std::string_view text, std::array<uint8_t, size>& bytes) {
  for (size_t i = 0; i < size; ++i) {
    const auto high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
    if (!high || !low) return false;
    bytes[i] = static_cast<uint8_t>(*high << 4 | *low);
  }
  return true;
}

template <size_t size>
bool is_zero(const std::array<uint8_t, size>& bytes) {
  return std::ranges::all_of(bytes, [](uint8_t byte) { return byte == 0; });
}

}  // namespace

std::optional<serving::TraceContext> read_trace_context(std::string_view traceparent,
                                                        std::string_view tracestate) {
  const std::string_view text = traceparent;
  // Versions to come may be longer; what they have in common with this one is read.
  if (text.size() < kLength || text.starts_with("ff")) return std::nullopt;
  if (text.size() > kLength && (text.starts_with("00") || text[kLength] != '-')) return std::nullopt;
  if (text[2] != '-' || text[35] != '-' || text[52] != '-') return std::nullopt;
  serving::TraceContext context;
  std::array<uint8_t, 1> version{}, flags{};
  if (!read_hex(text, version) || !read_hex(text.substr(3), context.trace_id) ||
      !read_hex(text.substr(36), context.parent_span) || !read_hex(text.substr(53), flags)) {
    return std::nullopt;
  }
  if (is_zero(context.trace_id) || is_zero(context.parent_span)) return std::nullopt;
  if (tracestate.size() <= kMaxState) context.state = tracestate;
  return context;
}

void make_id(uint8_t* bytes, size_t count) {
  thread_local std::mt19937_64 random{std::random_device{}()};
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<uint8_t>(random());
  if (std::all_of(bytes, bytes + count, [](uint8_t byte) { return byte == 0; })) bytes[0] = 1;
}

}  // namespace zeta::server
