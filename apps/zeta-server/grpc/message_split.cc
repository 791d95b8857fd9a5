#include "apps/zeta-server/grpc/message_split.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "src/base/concat.h"

namespace zeta::server::grpc_api {
namespace {

constexpr size_t kSmall = 1 << 10;  // bytes; copying these costs less than sharing an owner

enum WireType : uint32_t { kVarint = 0, kFixed64 = 1, kLengthDelimited = 2, kFixed32 = 5 };

// A position in the pieces.
class Cursor {
 public:
  explicit Cursor(std::span<const serving::Buffer> pieces) : pieces_(pieces) {
    for (const serving::Buffer& piece : pieces) left_ += piece.size;
    settle();
  }

  size_t left() const { return left_; }

  // Of at most `most` bytes: for tags and sizes protobuf takes no more than five.
  std::optional<uint64_t> varint(int most = 10) {
    uint64_t value = 0;
    for (int shift = 0; shift < 7 * most && left_ != 0; shift += 7) {
      const auto byte = std::to_integer<uint64_t>(pieces_[piece_].data[offset_]);
      advance(1);
      value |= (byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    return std::nullopt;
  }

  // The following require that so many bytes are left.
  void append(size_t size, std::string& out) {
    while (size != 0) {
      const size_t part = std::min(size, here());
      out.append(reinterpret_cast<const char*>(pieces_[piece_].data + offset_), part);
      advance(part);
      size -= part;
    }
  }
  serving::Buffer take(size_t size) {
    if (size == 0) return {};
    if (size > kSmall && size <= here()) {
      const serving::Buffer& piece = pieces_[piece_];
      serving::Buffer view{piece.data + offset_, size, piece.owner};
      advance(size);
      return view;
    }
    // Not a string, which would fill the memory with zeros first.
    std::shared_ptr<std::byte[]> copy = std::make_unique_for_overwrite<std::byte[]>(size);
    for (size_t done = 0; done < size;) {
      const size_t part = std::min(size - done, here());
      std::memcpy(copy.get() + done, pieces_[piece_].data + offset_, part);
      advance(part);
      done += part;
    }
    const std::byte* data = copy.get();
    return {data, size, std::move(copy)};
  }

 private:
  size_t here() const { return pieces_[piece_].size - offset_; }
  void advance(size_t size) {
    offset_ += size;
    left_ -= size;
    settle();
  }
  // Beyond pieces that are used up, unless it is the end.
  void settle() {
    while (piece_ < pieces_.size() && offset_ == pieces_[piece_].size) {
      ++piece_;
      offset_ = 0;
    }
  }

  const std::span<const serving::Buffer> pieces_;
  size_t piece_ = 0, offset_ = 0, left_ = 0;
};

void append_varint(uint64_t value, std::string& out) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

absl::Status damaged() { return absl::InvalidArgumentError("the request is not a valid protobuf message"); }

// Copies the value of a field that is not length-delimited.
bool copy_scalar(uint32_t wire_type, Cursor& cursor, std::string& out) {
  if (wire_type == kVarint) {
    const auto value = cursor.varint();
    if (value) append_varint(*value, out);
    return value.has_value();
  }
  const size_t size = wire_type == kFixed64 ? 8 : 4;
  if ((wire_type != kFixed64 && wire_type != kFixed32) || cursor.left() < size) return false;
  cursor.append(size, out);
  return true;
}

}  // namespace

absl::StatusOr<SplitMessage> split_message(std::span<const serving::Buffer> pieces, uint32_t field) {
  SplitMessage split;
  size_t values = 0;  // length-delimited ones
  Cursor cursor(pieces);
  while (cursor.left() != 0) {
    const auto tag = cursor.varint(5);
    if (!tag || *tag > UINT32_MAX || *tag >> 3 == 0) return damaged();
    const auto wire_type = static_cast<uint32_t>(*tag & 7);
    const bool raw = *tag >> 3 == field && wire_type == kLengthDelimited;
    if (!raw) append_varint(*tag, split.head);
    if (wire_type != kLengthDelimited) {
      if (!copy_scalar(wire_type, cursor, split.head)) return damaged();
      continue;
    }
    if (++values > kMaxValues) {
      return absl::InvalidArgumentError(concat("the request has more than ", kMaxValues, " fields"));
    }
    const auto size = cursor.varint(5);
    if (!size || *size > cursor.left()) return damaged();
    if (raw) {
      split.raw.push_back(cursor.take(*size));
    } else {
      append_varint(*size, split.head);
      cursor.append(*size, split.head);
    }
  }
  return split;
}

}  // namespace zeta::server::grpc_api
