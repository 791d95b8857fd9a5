// Any bytes, through each door of what reads a model folder. The first byte chooses the door.
//
// Whatever comes in, nothing may crash or hang, the only complaint is a ModelError, and what is accepted
// holds what the headers promise: tensors within the file, sizes that fit their shapes, heads that divide.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <string>

#include "src/nn/llama_config.h"
#include "src/nn/model_error.h"
#include "src/nn/safetensors.h"
#include "tests/fuzz/check.h"

namespace zeta::nn {
namespace {

// A file in memory that has a path.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view bytes) : fd_(memfd_create("fuzz", 0)) {
    check(fd_ >= 0 && ::write(fd_, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()),
          "cannot write the file");
  }
  ~MemoryFile() { ::close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

void check_tensor(const StoredTensor& tensor, size_t data_size) {
  check(tensor.begin <= tensor.end && tensor.end <= data_size, "a tensor lies outside of the data");
  size_t bytes = stored_type_size(tensor.type);
  for (const int64_t extent : tensor.shape) bytes *= static_cast<size_t>(extent);
  check(tensor.end - tensor.begin == bytes, "a tensor's bytes do not fit its shape");
}

// Two bytes that give the size of the data, and the header.
void read_header(std::string_view bytes) {
  if (bytes.size() < 2) return;
  const auto data_size =
      static_cast<size_t>(static_cast<uint8_t>(bytes[0]) | static_cast<uint8_t>(bytes[1]) << 8);
  for (const auto& [name, tensor] : parse_safetensors_header(bytes.substr(2), data_size, "fuzz")) {
    check_tensor(tensor, data_size);
  }
}

void read_tensors(std::string_view bytes) {
  const MemoryFile stored(bytes);
  const SafetensorsFile file(stored.path());
  size_t total = 0;
  for (const auto& [name, tensor] : file.tensors()) {
    check_tensor(tensor, file.data_size());
    for (const std::byte byte : file.tensor(name).bytes) total += byte == std::byte{0} ? 1 : 2;
  }
  check(total >= file.data_size(), "bytes of the file belong to no tensor");
}

void read_config(std::string_view json) {
  const LlamaConfig config = read_llama_config(JsonObject::parse(json, "config.json"));
  check(config.num_heads % config.num_kv_heads == 0, "key/value heads do not divide the heads");
  check(config.head_dim > 0 && config.head_dim % 2 == 0, "head_dim is odd");
  for (const char* module : {"lm_head", "model.layers.0.self_attn.q_proj", "model.layers.10.mlp.down_proj"}) {
    const bool int4 = config.quantization.format_of(module) == WeightFormat::kInt4;
    check(!int4 || config.quantization.group_size() > 0, "4-bit weights without a group size");
  }
}

}  // namespace
}  // namespace zeta::nn

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) try {
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0]) {
    case 'c':
      zeta::nn::read_config(rest);
      return 0;
    case 'f':
      zeta::nn::read_tensors(rest);
      return 0;
    case 'h':
      zeta::nn::read_header(rest);
      return 0;
    default:
      return -1;  // of no interest: keep it out of the corpus
  }
} catch (const zeta::nn::ModelError&) {
  return 0;
}
