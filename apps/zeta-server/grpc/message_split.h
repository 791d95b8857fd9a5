// Takes the tensors out of a protobuf message before protobuf copies them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/serving/backend.h"

namespace zeta::server::grpc_api {

// Tensors, outputs and parameters of one message: an empty one takes two bytes on the wire and many more
// here.
inline constexpr size_t kMaxValues = 1 << 16;

struct SplitMessage {
  std::string head;                  // the message without the field
  std::vector<serving::Buffer> raw;  // the field's values, in order
};

// `pieces` laid one after another are an encoded message, whose top-level `field` is repeated bytes. A value
// that lies within one piece is a view of it that shares its owner; one that is spread over several, or is so
// small that this is cheaper, is copied, once. InvalidArgument when the encoding is damaged, as far as the
// top level shows, or it has more than kMaxValues; the rest is for protobuf to say.
// https://protobuf.dev/programming-guides/encoding
absl::StatusOr<SplitMessage> split_message(std::span<const serving::Buffer> pieces, uint32_t field);

}  // namespace zeta::server::grpc_api
