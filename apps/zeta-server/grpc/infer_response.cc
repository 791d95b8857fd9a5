#include "apps/zeta-server/grpc/infer_response.h"

#include <google/protobuf/arena.h>
#include <google/protobuf/io/coded_stream.h>
#include <grpcpp/support/slice.h>

#include <cstring>
#include <memory>
#include <utility>

#include "grpc_service.pb.h"
#include "src/serving/data_type.h"

namespace zeta::server::grpc_api {
namespace {

using google::protobuf::io::CodedOutputStream;
using inference::ModelInferResponse;
using inference::ModelStreamInferResponse;

constexpr size_t kSmall = 4 << 10;  // bytes; copying these costs less than a piece of their own

constexpr uint32_t length_delimited(int field) { return static_cast<uint32_t>(field) << 3 | 2; }
constexpr uint32_t kRawTag = length_delimited(ModelInferResponse::kRawOutputContentsFieldNumber);
constexpr uint32_t kResponseTag = length_delimited(ModelStreamInferResponse::kInferResponseFieldNumber);

void set_parameter(const serving::Parameter& value, inference::InferParameter& out) {
  if (const auto* flag = std::get_if<bool>(&value)) out.set_bool_param(*flag);
  if (const auto* integer = std::get_if<int64_t>(&value)) out.set_int64_param(*integer);
  if (const auto* number = std::get_if<double>(&value)) out.set_double_param(*number);
  if (const auto* text = std::get_if<std::string>(&value)) out.set_string_param(*text);
}

void fill_head(const ResponseHead& head, ModelInferResponse& message) {
  message.set_model_name(head.model_name.data(), head.model_name.size());
  message.set_model_version(head.model_version.data(), head.model_version.size());
  message.set_id(head.id.data(), head.id.size());
  auto& parameters = *message.mutable_parameters();
  if (head.parameters != nullptr) {
    for (const auto& [name, value] : *head.parameters) set_parameter(value, parameters[name]);
  }
  if (head.final) parameters["triton_final_response"].set_bool_param(*head.final);
}

void fill_output(const serving::DeliveredOutput& output, ModelInferResponse& message) {
  auto& described = *message.add_outputs();
  described.set_name(output.tensor.name);
  const std::string_view type = serving::data_type_name(output.tensor.datatype);
  described.set_datatype(type.data(), type.size());
  for (const int64_t dimension : output.tensor.shape) described.add_shape(dimension);
}

size_t raw_header_size(size_t size) { return 1 + CodedOutputStream::VarintSize64(size); }

// Puts pieces together: what is small into one slice, the rest by reference.
class PieceWriter {
 public:
  // `copied`: the bytes that will be written into slices of our own, all together.
  explicit PieceWriter(size_t copied) : slice_(copied), end_(begin()) {}

  uint8_t* position() { return end_; }
  void written_to(uint8_t* end) { end_ = end; }
  void tag_and_size(uint32_t tag, size_t size) {
    end_ = CodedOutputStream::WriteVarint32ToArray(tag, end_);
    end_ = CodedOutputStream::WriteVarint64ToArray(size, end_);
  }
  void copy(const serving::Buffer& data) {
    if (data.size != 0) std::memcpy(end_, data.data, data.size);
    end_ += data.size;
  }
  void refer(serving::Buffer data) {
    flush();
    auto* kept = new serving::Buffer(std::move(data));
    slices_.emplace_back(
        const_cast<std::byte*>(kept->data), kept->size,
        [](void* buffer) { delete static_cast<serving::Buffer*>(buffer); }, kept);
  }
  grpc::ByteBuffer finish() {
    flush();
    return {slices_.data(), slices_.size()};
  }

 private:
  uint8_t* begin() { return const_cast<uint8_t*>(slice_.begin()); }
  void flush() {
    const auto end = static_cast<size_t>(end_ - begin());
    if (end != flushed_) slices_.push_back(slice_.sub(flushed_, end));
    flushed_ = end;
  }

  grpc::Slice slice_;
  uint8_t* end_;
  size_t flushed_ = 0;
  std::vector<grpc::Slice> slices_;
};

grpc::ByteBuffer encode(const ResponseHead& head, std::vector<serving::DeliveredOutput> outputs,
                        bool stream) {
  alignas(8) char block[2048];
  google::protobuf::ArenaOptions options;
  options.initial_block = block;
  options.initial_block_size = sizeof block;
  google::protobuf::Arena arena(options);
  auto* message = google::protobuf::Arena::CreateMessage<ModelInferResponse>(&arena);
  fill_head(head, *message);
  size_t copied = 0, referred = 0;
  for (const serving::DeliveredOutput& output : outputs) {
    fill_output(output, *message);
    const size_t size = output.tensor.data.size;
    copied += raw_header_size(size) + (size <= kSmall ? size : 0);
    referred += size <= kSmall ? 0 : size;
  }
  const size_t size = message->ByteSizeLong() + copied + referred;
  const size_t frame = stream ? raw_header_size(size) : 0;
  PieceWriter writer(frame + size - referred);
  if (stream) writer.tag_and_size(kResponseTag, size);
  writer.written_to(message->SerializeWithCachedSizesToArray(writer.position()));
  for (serving::DeliveredOutput& output : outputs) {
    writer.tag_and_size(kRawTag, output.tensor.data.size);
    if (output.tensor.data.size <= kSmall) {
      writer.copy(output.tensor.data);
    } else {
      writer.refer(std::move(output.tensor.data));
    }
  }
  return writer.finish();
}

}  // namespace

grpc::ByteBuffer encode_response(const ResponseHead& head, std::vector<serving::DeliveredOutput> outputs) {
  return encode(head, std::move(outputs), false);
}

grpc::ByteBuffer encode_stream_response(const ResponseHead& head,
                                        std::vector<serving::DeliveredOutput> outputs) {
  return encode(head, std::move(outputs), true);
}

grpc::ByteBuffer encode_stream_error(const absl::Status& status, std::string_view id) {
  ModelStreamInferResponse message;
  message.set_error_message(std::string(status.message()));
  message.mutable_infer_response()->set_id(id.data(), id.size());
  const std::string text = message.SerializeAsString();
  const grpc::Slice slice(text);
  return {&slice, 1};
}

}  // namespace zeta::server::grpc_api
