// Reading of `.safetensors` files: an 8-byte little-endian header length, a JSON header that gives each
// tensor's dtype, shape and byte range, then the tensors' bytes without gap or overlap.
// Format: https://github.com/huggingface/safetensors#format
//
// A file is foreign until checked: lengths, ranges, shapes and sizes are all verified before a byte is used,
// and what does not hold is a ModelError.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace zeta::nn {

enum class StoredType {
  kBool,
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kU64,
  kI64,
  kF16,
  kBF16,
  kF32,
  kF64,
  kF8E4M3
};

std::string_view stored_type_name(StoredType type);  // as written in the header: "F32"
size_t stored_type_size(StoredType type);            // bytes

struct StoredTensor {
  StoredType type;
  std::vector<int64_t> shape;
  size_t begin, end;  // bytes, from the start of the data section
};

using StoredTensors = std::map<std::string, StoredTensor>;

// Parses a header for a data section of `data_size` bytes. `where` names the file in complaints.
StoredTensors parse_safetensors_header(std::string_view header, size_t data_size, const std::string& where);

// The bytes of one tensor, and what keeps them alive.
struct TensorBytes {
  std::string name;
  std::string path;
  StoredType type;
  std::vector<int64_t> shape;
  std::span<std::byte> bytes;
  std::shared_ptr<const void> owner;
};

// A file read into memory once. We read instead of mapping it: replacing or truncating the file under a
// served model can then neither change answers nor raise SIGBUS. Immutable after construction.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(std::string path);

  const std::string& path() const { return path_; }
  const StoredTensors& tensors() const { return tensors_; }
  TensorBytes tensor(const std::string& name) const;  // `name` must be among tensors()
  size_t data_size() const { return data_size_; }

 private:
  std::string path_;
  StoredTensors tensors_;
  size_t data_size_ = 0;
  std::shared_ptr<std::byte> data_;  // 64-byte aligned; in huge pages from 2 MiB on
};

}  // namespace zeta::nn
