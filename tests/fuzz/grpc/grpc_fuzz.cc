// Any bytes, as an encoded ModelInferRequest that comes in pieces, and as a registration of shared memory.
// The first byte chooses.
//
// Whatever comes in, nothing may crash or hang, and a complaint is the client's fault. Splitting agrees with
// protobuf about what is a message, as far as the top level shows, and about what is in it; what is
// registered can be read to its last byte and no further.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <string>

#include "apps/zeta-server/grpc/infer_request.h"
#include "apps/zeta-server/grpc/message_split.h"
#include "grpc_service.pb.h"
#include "src/serving/data_type.h"
#include "src/serving/shared_memory.h"
#include "src/serving/tensor.h"
#include "tests/fuzz/check.h"

namespace zeta::server::grpc_api {
namespace {

constexpr size_t kObject = 6000;  // bytes, not whole pages

// One shared memory object, for the life of the program.
const std::string& object_key() {
  static const std::string key = [] {
    std::string name = "/fuzz-grpc-" + std::to_string(getpid());
    const int object = shm_open(name.c_str(), O_CREAT | O_RDWR, 0600);
    check(object >= 0 && ftruncate(object, kObject) == 0, "no shared memory to try with");
    close(object);
    std::atexit([] { shm_unlink(object_key().c_str()); });
    return name;
  }();
  return key;
}

std::vector<serving::Buffer> cut(std::string_view text, size_t size) {
  std::vector<serving::Buffer> pieces;
  for (; !text.empty(); text.remove_prefix(std::min(size, text.size()))) {
    pieces.push_back(serving::make_buffer(std::string(text.substr(0, size))));
  }
  return pieces;
}

void split(std::string_view text, const std::vector<serving::Buffer>& pieces) {
  const auto result = split_message(pieces, inference::ModelInferRequest::kRawInputContentsFieldNumber);
  inference::ModelInferRequest whole, head;
  const bool parses = whole.ParseFromArray(text.data(), static_cast<int>(text.size()));
  if (!result.ok()) return check(absl::IsInvalidArgument(result.status()), "not the client's fault");
  check(head.ParseFromString(result->head) == parses, "protobuf and the splitter disagree");
  if (!parses) return;
  check(static_cast<int>(result->raw.size()) == whole.raw_input_contents_size(), "tensors got lost");
  for (int i = 0; i < whole.raw_input_contents_size(); ++i) {
    const serving::Buffer& raw = result->raw[static_cast<size_t>(i)];
    const std::string& expected = whole.raw_input_contents(i);
    check(raw.size == expected.size() &&
              (raw.size == 0 || std::memcmp(raw.data, expected.data(), raw.size) == 0),
          "a tensor has changed");
  }
  check(head.inputs_size() == whole.inputs_size() && head.model_name() == whole.model_name(),
        "a field has changed");
}

void read(const std::vector<serving::Buffer>& pieces) {
  serving::SharedMemoryRegistry shared_memory(true);
  check(shared_memory.add({"r", object_key(), 1, 100}).ok(), "cannot register");
  ReceivedRequest received;
  const absl::Status status = read_infer_request(pieces, shared_memory, received);
  check(received.request != nullptr, "no request to name in an answer");
  if (!status.ok()) {
    return check(absl::IsInvalidArgument(status) || absl::IsNotFound(status), "not the client's fault");
  }
  uint8_t sum = 0;
  for (const serving::Tensor& tensor : received.request->inputs) {
    const size_t size = std::max<size_t>(serving::element_size(tensor.datatype), 1);
    check(reinterpret_cast<uintptr_t>(tensor.data.data) % size == 0, "a tensor is not aligned");
    for (size_t i = 0; i < tensor.data.size; ++i) sum += std::to_integer<uint8_t>(tensor.data.data[i]);
    (void)serving::bytes_elements(tensor).ok();
  }
  static volatile uint8_t used;
  used = sum;
}

void register_region(std::string_view text) {
  inference::SystemSharedMemoryRegisterRequest request;
  if (!request.ParseFromArray(text.data(), static_cast<int>(text.size()))) return;
  if (request.key() == "object") request.set_key(object_key());
  serving::SharedMemoryRegistry shared_memory(true);
  if (!shared_memory.add({request.name(), request.key(), request.offset(), request.byte_size()}).ok()) return;
  check(request.offset() + request.byte_size() <= kObject || request.key() != object_key(),
        "a region beyond its object");
  const auto all = shared_memory.find(request.name(), 0, request.byte_size());
  check(all.ok() && all->size() == request.byte_size(), "a region without its memory");
  check(request.key() != object_key() || all->read().ok(), "a region that cannot be read");
  check(!shared_memory.find(request.name(), 1, request.byte_size()).ok(), "memory beyond a region");
}

}  // namespace
}  // namespace zeta::server::grpc_api

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace zeta::server::grpc_api;
  if (size < 2) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 2, size - 2);
  if (data[0] == 'r') {
    const auto pieces = cut(rest, data[1] == 0 ? rest.size() + 1 : data[1]);
    split(rest, pieces);
    read(pieces);
    return 0;
  }
  if (data[0] == 's') {
    register_region(rest);
    return 0;
  }
  return -1;  // of no interest: keep it out of the corpus
}
