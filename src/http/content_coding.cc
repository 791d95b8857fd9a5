#include "src/http/content_coding.h"

#include <zlib.h>

#include <algorithm>
#include <boost/beast/core/string.hpp>
#include <charconv>
#include <limits>
#include <new>

namespace zeta::http {
namespace {

using boost::beast::iequals;

constexpr size_t kSmall = 1 << 10;   // bytes; below, compressing gains nothing
constexpr size_t kStep = 64 << 10;   // bytes by which an output grows at least
constexpr int kAnyFormat = 15 + 32;  // zlib's window bits: gzip or zlib, whichever it is
constexpr int kGzipFormat = 15 + 16;
constexpr int kZlibFormat = 15;
constexpr int kFast = 1;

std::string_view strip(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

Bytef* bytes(std::string& text) { return reinterpret_cast<Bytef*>(text.data()); }
// zlib reads through a pointer to what is not const.
Bytef* bytes(std::string_view text) { return reinterpret_cast<Bytef*>(const_cast<char*>(text.data())); }
uInt chunk(size_t size) {
  return static_cast<uInt>(std::min<size_t>(size, std::numeric_limits<uInt>::max()));
}

// The weight of one element of Accept-Encoding, "gzip;q=0.5".
double quality(std::string_view parameters) {
  const size_t at = parameters.find("q=");
  if (at == std::string_view::npos) return 1;
  const std::string_view text = parameters.substr(at + 2);
  double value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

class Deflater {
 public:
  explicit Deflater(Coding coding) {
    const int format = coding == Coding::kGzip ? kGzipFormat : kZlibFormat;
    if (deflateInit2(&stream_, kFast, Z_DEFLATED, format, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
      throw std::bad_alloc();
    }
  }
  ~Deflater() { deflateEnd(&stream_); }
  Deflater(const Deflater&) = delete;
  Deflater& operator=(const Deflater&) = delete;

  void add(std::string_view piece) { run(piece, Z_NO_FLUSH); }
  std::string finish() {
    run({}, Z_FINISH);
    out_.resize(used_);
    return std::move(out_);
  }

 private:
  void run(std::string_view piece, int flush) {
    int result = Z_OK;
    do {
      stream_.next_in = bytes(piece);
      stream_.avail_in = chunk(piece.size());
      const size_t given = stream_.avail_in;
      if (out_.size() - used_ < kStep) out_.resize(std::max(out_.size() * 2, kStep * 2));
      stream_.next_out = bytes(out_) + used_;
      stream_.avail_out = chunk(out_.size() - used_);
      const size_t space = stream_.avail_out;
      result = deflate(&stream_, flush);
      used_ += space - stream_.avail_out;
      piece.remove_prefix(given - stream_.avail_in);
    } while (flush == Z_FINISH ? result != Z_STREAM_END : !piece.empty());
  }

  z_stream stream_{};
  std::string out_;
  size_t used_ = 0;
};

class Inflater {
 public:
  Inflater() {
    if (inflateInit2(&stream_, kAnyFormat) != Z_OK) throw std::bad_alloc();
  }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  Inflation run(std::string_view in, size_t limit, std::string& out) {
    size_t used = 0;
    int result = Z_OK;
    while (result != Z_STREAM_END) {
      // One byte beyond the limit tells whether there is more.
      if (used == out.size()) out.resize(std::min(std::max(out.size() * 2, kStep), limit + 1));
      stream_.next_in = bytes(in);
      stream_.avail_in = chunk(in.size());
      const size_t given = stream_.avail_in;
      stream_.next_out = bytes(out) + used;
      stream_.avail_out = chunk(out.size() - used);
      const size_t space = stream_.avail_out;
      result = inflate(&stream_, Z_NO_FLUSH);
      used += space - stream_.avail_out;
      in.remove_prefix(given - stream_.avail_in);
      if (used > limit) return Inflation::kTooLarge;
      if (result != Z_OK && result != Z_STREAM_END) return Inflation::kDamaged;
    }
    out.resize(used);
    return in.empty() ? Inflation::kDone : Inflation::kDamaged;
  }

 private:
  z_stream stream_{};
};

}  // namespace

std::optional<Coding> parse_coding(std::string_view content_encoding) {
  if (content_encoding.empty() || iequals(content_encoding, "identity")) return Coding::kIdentity;
  if (iequals(content_encoding, "gzip") || iequals(content_encoding, "x-gzip")) return Coding::kGzip;
  if (iequals(content_encoding, "deflate")) return Coding::kDeflate;
  return std::nullopt;
}

Coding choose_coding(std::string_view accept_encoding) {
  double gzip = 0, deflate = 0;
  while (!accept_encoding.empty()) {
    const std::string_view element = accept_encoding.substr(0, accept_encoding.find(','));
    accept_encoding.remove_prefix(std::min(element.size() + 1, accept_encoding.size()));
    const size_t semicolon = std::min(element.find(';'), element.size());
    const std::string_view name = strip(element.substr(0, semicolon));
    const double weight = quality(element.substr(semicolon));
    if (iequals(name, "gzip") || iequals(name, "x-gzip")) gzip = weight;
    if (iequals(name, "deflate")) deflate = weight;
  }
  if (gzip > 0 && gzip >= deflate) return Coding::kGzip;
  return deflate > 0 ? Coding::kDeflate : Coding::kIdentity;
}

Inflation inflate_body(std::string& body, size_t limit) {
  std::string out;
  const Inflation result = Inflater().run(body, limit, out);
  body = std::move(out);
  return result;
}

void compress_response(Response& response, std::string_view accept_encoding) {
  size_t size = response.body.size();
  for (const BodyPiece& piece : response.tail) size += piece.bytes.size();
  const Coding coding = size < kSmall ? Coding::kIdentity : choose_coding(accept_encoding);
  if (coding == Coding::kIdentity) return;
  Deflater deflater(coding);
  deflater.add(response.body);
  for (const BodyPiece& piece : response.tail) deflater.add(piece.bytes);
  response.body = deflater.finish();
  response.tail.clear();
  response.headers.emplace_back("Content-Encoding", coding == Coding::kGzip ? "gzip" : "deflate");
  response.headers.emplace_back("Vary", "Accept-Encoding");
}

}  // namespace zeta::http
