#include "apps/zeta-server/grpc/received_call.h"

#include <grpcpp/support/slice.h>

#include <chrono>
#include <new>
#include <vector>

#include "apps/zeta-server/grpc/call_metadata.h"
#include "apps/zeta-server/model_version.h"
#include "apps/zeta-server/tracing/tracer.h"
#include "src/serving/request_trace.h"

namespace zeta::server::grpc_api {
namespace {

// The message's memory as it came, which stays as long as any part of it is used.
absl::StatusOr<std::vector<serving::Buffer>> to_pieces(const grpc::ByteBuffer& message) {
  const auto slices = std::make_shared<std::vector<grpc::Slice>>();
  if (!message.Dump(slices.get()).ok()) {
    return absl::InvalidArgumentError("the request cannot be decompressed");
  }
  std::vector<serving::Buffer> pieces;
  pieces.reserve(slices->size());
  for (const grpc::Slice& slice : *slices) {
    pieces.push_back({reinterpret_cast<const std::byte*>(slice.begin()), slice.size(), slices});
  }
  return pieces;
}

}  // namespace

absl::StatusOr<std::shared_ptr<serving::ServedModel>> receive(const CallContext& call,
                                                              const grpc::ServerContextBase& context,
                                                              const grpc::ByteBuffer& message,
                                                              ReceivedRequest& received) {
  const auto arrival = std::chrono::steady_clock::now();
  const auto pieces = to_pieces(message);
  if (!pieces.ok()) return pieces.status();
  absl::Status status;
  try {
    status = read_infer_request(*pieces, *call.server->shared_memory, received);
  } catch (const std::bad_alloc&) {
    status = absl::ResourceExhaustedError("there is no memory for the request");
  }
  // What a client hears first of a request with two faults is that its model is unknown.
  auto model = find_model(call, received.model_name, received.model_version);
  if (!model.ok()) return model;
  if (!status.ok()) return status;
  forward_headers(call.forwarded_headers.get(), context, received.request->parameters);
  Tracer* const tracer = call.server->tracer.get();
  if (tracer == nullptr || !tracer->active()) return model;
  received.request->trace = tracer->sample((*model)->metadata().name, header(context, "traceparent"),
                                           header(context, "tracestate"));
  if (received.request->trace == nullptr) return model;
  // gRPC hands over whole messages: how long it waited for this one is not known.
  received.request->trace->note("GRPC_WAITREAD_START", arrival);
  received.request->trace->note("GRPC_WAITREAD_END");
  return model;
}

absl::StatusOr<std::shared_ptr<serving::ServedModel>> find_model(const CallContext& call,
                                                                 std::string_view name,
                                                                 std::string_view version) {
  if (absl::Status status = check_version(version); !status.ok()) return status;
  return call.server->registry->find(name, version);
}

}  // namespace zeta::server::grpc_api
