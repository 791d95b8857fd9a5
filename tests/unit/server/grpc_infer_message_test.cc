#include <grpcpp/support/slice.h>
#include <gtest/gtest.h>

#include "apps/zeta-server/grpc/infer_request.h"
#include "apps/zeta-server/grpc/infer_response.h"
#include "apps/zeta-server/grpc/response_queue.h"
#include "apps/zeta-server/grpc/status.h"
#include "grpc_service.pb.h"
#include "src/serving/tensor.h"

namespace zeta::server::grpc_api {
namespace {

std::string flatten(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(buffer.Dump(&slices).ok());
  std::string text;
  for (const grpc::Slice& slice : slices) {
    text.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return text;
}

std::vector<serving::Tensor> outputs() {
  return {serving::bytes_tensor("SMALL", {"a"}), serving::bytes_tensor("LARGE", {std::string(100'000, 'b')}),
          serving::bytes_tensor("NONE", {}), serving::bytes_tensor("LAST", {"c"})};
}

void expect_outputs(const inference::ModelInferResponse& message) {
  EXPECT_EQ(message.model_name(), "model");
  EXPECT_EQ(message.id(), "7");
  EXPECT_EQ(message.parameters().at("n").int64_param(), 3);
  ASSERT_EQ(message.outputs_size(), 4);
  ASSERT_EQ(message.raw_output_contents_size(), 4);
  const auto expected = outputs();
  for (int i = 0; i < 4; ++i) {
    const serving::Tensor& tensor = expected[static_cast<size_t>(i)];
    EXPECT_EQ(message.outputs(i).name(), tensor.name);
    EXPECT_EQ(message.outputs(i).datatype(), "BYTES");
    EXPECT_EQ(message.outputs(i).shape(0), tensor.shape[0]);
    EXPECT_EQ(message.raw_output_contents(i),
              std::string(reinterpret_cast<const char*>(tensor.data.data), tensor.data.size));
  }
}

TEST(EncodeResponse, IsWhatProtobufReads) {
  const serving::Parameters parameters{{"n", int64_t{3}}};
  const ResponseHead head{"model", "1", "7", &parameters, std::nullopt};
  inference::ModelInferResponse message;
  ASSERT_TRUE(
      message.ParseFromString(flatten(encode_response(head, *serving::deliver_outputs({}, {}, outputs())))));
  expect_outputs(message);
  EXPECT_FALSE(message.parameters().contains("triton_final_response"));
}

TEST(EncodeResponse, WithinAStream) {
  const serving::Parameters parameters{{"n", int64_t{3}}};
  const ResponseHead head{"model", "1", "7", &parameters, true};
  inference::ModelStreamInferResponse message;
  ASSERT_TRUE(message.ParseFromString(
      flatten(encode_stream_response(head, *serving::deliver_outputs({}, {}, outputs())))));
  expect_outputs(message.infer_response());
  EXPECT_TRUE(message.infer_response().parameters().at("triton_final_response").bool_param());
  EXPECT_EQ(message.error_message(), "");
}

TEST(EncodeResponse, LargeTensorsAreNotCopied) {
  std::vector<serving::Tensor> tensors = outputs();
  const std::weak_ptr<const void> owner = tensors[1].data.owner;
  const void* data = tensors[1].data.data;
  {
    const grpc::ByteBuffer buffer = encode_response({"m", "1", "", nullptr, std::nullopt},
                                                    *serving::deliver_outputs({}, {}, std::move(tensors)));
    std::vector<grpc::Slice> slices;
    ASSERT_TRUE(buffer.Dump(&slices).ok());
    EXPECT_TRUE(std::ranges::any_of(slices, [&](const grpc::Slice& slice) { return slice.begin() == data; }));
    EXPECT_FALSE(owner.expired());
  }
  EXPECT_TRUE(owner.expired()) << "released with the message";
}

TEST(ReadInferRequest, KeepsTheIdWhenThereIsAFault) {
  inference::ModelInferRequest message;
  message.set_id("7");
  message.add_inputs()->set_datatype("FOO");
  const std::vector<serving::Buffer> pieces{serving::make_buffer(message.SerializeAsString())};
  ReceivedRequest received;
  const serving::SharedMemoryRegistry none(false);
  EXPECT_TRUE(absl::IsInvalidArgument(read_infer_request(pieces, none, received)));
  EXPECT_EQ(received.request->id, "7");
}

TEST(ReadInferRequest, TypedValuesMustFit) {
  inference::ModelInferRequest message;
  auto& input = *message.add_inputs();
  input.set_datatype("INT8");
  input.add_shape(1);
  input.mutable_contents()->add_int_contents(128);
  const std::vector<serving::Buffer> pieces{serving::make_buffer(message.SerializeAsString())};
  ReceivedRequest received;
  const serving::SharedMemoryRegistry none(false);
  const absl::Status status = read_infer_request(pieces, none, received);
  EXPECT_NE(std::string(status.message()).find("holds 128, which is no INT8"), std::string::npos) << status;
}

TEST(ToGrpc, CodesAreTritons) {
  EXPECT_EQ(to_grpc(absl::NotFoundError("")).error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(to_grpc(absl::ResourceExhaustedError("")).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(to_grpc(absl::OutOfRangeError("")).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(to_grpc(absl::DeadlineExceededError("late")).error_message(), "late");
}

TEST(ResponseQueue, PlacesKeepTheirOrderAndTheRestDoesNotWait) {
  const auto message = [](const std::string& text) {
    const grpc::Slice slice(text);
    return grpc::ByteBuffer(&slice, 1);
  };
  ResponseQueue queue;
  const uint64_t first = queue.reserve(), second = queue.reserve();
  queue.put(second, message("2"));
  EXPECT_FALSE(queue.has_next());
  EXPECT_EQ(queue.bytes(), 1u);
  queue.put(message("free"));
  EXPECT_EQ(flatten(*queue.take()), "free");
  queue.put(first, message("1"));
  queue.put(first, message("once more: its place is gone"));
  EXPECT_EQ(flatten(*queue.take()), "1");
  EXPECT_EQ(flatten(*queue.take()), "2");
  EXPECT_FALSE(queue.take());
  EXPECT_EQ(queue.bytes(), 0u);
}

}  // namespace
}  // namespace zeta::server::grpc_api
