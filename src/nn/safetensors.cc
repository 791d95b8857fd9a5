#include "src/nn/safetensors.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <new>
#include <system_error>
#include <utility>

#include "src/nn/json_object.h"
#include "src/nn/model_error.h"

namespace zeta::nn {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors data is little-endian");

constexpr uint64_t kMaxHeader = 100u << 20;
constexpr std::align_val_t kAlignment{64};
constexpr size_t kHugePage = 2 << 20;

struct TypeRow {
  StoredType type;
  std::string_view name;
  size_t size;
};
constexpr std::array<TypeRow, 14> kTypes{{{StoredType::kBool, "BOOL", 1},
                                          {StoredType::kU8, "U8", 1},
                                          {StoredType::kI8, "I8", 1},
                                          {StoredType::kU16, "U16", 2},
                                          {StoredType::kI16, "I16", 2},
                                          {StoredType::kU32, "U32", 4},
                                          {StoredType::kI32, "I32", 4},
                                          {StoredType::kU64, "U64", 8},
                                          {StoredType::kI64, "I64", 8},
                                          {StoredType::kF16, "F16", 2},
                                          {StoredType::kBF16, "BF16", 2},
                                          {StoredType::kF32, "F32", 4},
                                          {StoredType::kF64, "F64", 8},
                                          {StoredType::kF8E4M3, "F8_E4M3", 1}}};

const TypeRow& row(StoredType type) { return kTypes[static_cast<size_t>(type)]; }

StoredType parse_type(const JsonObject& entry) {
  const std::string name = entry.string("dtype");
  for (const TypeRow& candidate : kTypes) {
    if (candidate.name == name) return candidate.type;
  }
  entry.fail("dtype", "unknown dtype");
}

// The product of `shape` and the element size, refusing what does not fit.
size_t byte_size(const JsonObject& entry, StoredType type, const std::vector<int64_t>& shape) {
  size_t bytes = stored_type_size(type);
  for (int64_t extent : shape) {
    if (extent < 0 || __builtin_mul_overflow(bytes, static_cast<size_t>(extent), &bytes)) {
      entry.fail("shape", "expected non-negative extents whose product fits 64 bits");
    }
  }
  return bytes;
}

StoredTensor parse_entry(const JsonObject& entry, size_t data_size) {
  StoredTensor tensor{parse_type(entry), {}, 0, 0};
  if (!entry.raw().contains("shape") || !entry.raw().at("shape").is_array()) {
    entry.fail("shape", "expected a list of extents");
  }
  tensor.shape = entry.integers("shape");
  const std::vector<int64_t> range = entry.integers("data_offsets");
  if (range.size() != 2 || range[0] < 0 || range[1] < range[0] ||
      static_cast<uint64_t>(range[1]) > data_size) {
    entry.fail("data_offsets", fmt::format("expected begin ≤ end ≤ {} (truncated file?)", data_size));
  }
  tensor.begin = static_cast<size_t>(range[0]);
  tensor.end = static_cast<size_t>(range[1]);
  const size_t expected = byte_size(entry, tensor.type, tensor.shape);
  if (tensor.end - tensor.begin != expected) {
    entry.fail("data_offsets", fmt::format("expected {} bytes for the dtype and shape", expected));
  }
  return tensor;
}

void require_no_gap(const StoredTensors& tensors, size_t data_size, const std::string& where) {
  std::vector<std::pair<size_t, size_t>> ranges;
  for (const auto& [name, tensor] : tensors) ranges.emplace_back(tensor.begin, tensor.end);
  std::sort(ranges.begin(), ranges.end());
  size_t expected = 0;
  for (const auto& [begin, end] : ranges) {
    if (begin != expected) {
      throw ModelError(fmt::format("{}: tensors overlap or leave a gap at byte {} of the data section", where,
                                   std::min(begin, expected)));
    }
    expected = end;
  }
  if (expected != data_size) {
    throw ModelError(
        fmt::format("{}: header describes {} bytes of data, the file holds {}", where, expected, data_size));
  }
}

// In huge pages, where the kernel has them to give: weights are read at memory's speed, which a look into the
// page tables every 4 KiB takes a sixth of, or more.
std::shared_ptr<std::byte> aligned_bytes(size_t size) {
  const bool huge = size >= kHugePage;
  const std::align_val_t alignment = huge ? std::align_val_t{kHugePage} : kAlignment;
  const size_t whole = huge ? (size + kHugePage - 1) / kHugePage * kHugePage : std::max<size_t>(size, 1);
  auto* memory = static_cast<std::byte*>(::operator new(whole, alignment));
  if (huge) ::madvise(memory, whole, MADV_HUGEPAGE);  // a refusal changes nothing but speed
  return {memory, [alignment](std::byte* p) { ::operator delete(p, alignment); }};
}

void read_exactly(std::ifstream& file, void* to, size_t size, const std::string& path) {
  if (!file.read(static_cast<char*>(to), static_cast<std::streamsize>(size))) {
    throw ModelError(fmt::format("{}: truncated: expected {} more bytes, got {}", path, size, file.gcount()));
  }
}

}  // namespace

std::string_view stored_type_name(StoredType type) { return row(type).name; }
size_t stored_type_size(StoredType type) { return row(type).size; }

StoredTensors parse_safetensors_header(std::string_view header, size_t data_size, const std::string& where) {
  const JsonObject object = JsonObject::parse(header, where);
  StoredTensors tensors;
  for (const auto& item : object.raw()) {
    const std::string name(item.key());
    if (name == "__metadata__") continue;
    tensors.emplace(name, parse_entry(object.required_object(name), data_size));
  }
  require_no_gap(tensors, data_size, where);
  return tensors;
}

SafetensorsFile::SafetensorsFile(std::string path) : path_(std::move(path)) {
  std::error_code error;
  const auto status = std::filesystem::status(path_, error);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    throw ModelError(fmt::format("{}: not a regular file", path_));  // a pipe would be waited for, for ever
  }
  std::ifstream file(path_, std::ios::binary | std::ios::ate);
  if (!file) throw ModelError(fmt::format("{}: cannot open: {}", path_, std::strerror(errno)));
  const auto file_size = static_cast<uint64_t>(file.tellg());
  file.seekg(0);
  uint64_t header_size = 0;
  if (file_size < sizeof header_size) {
    throw ModelError(fmt::format("{}: not a safetensors file: {} bytes", path_, file_size));
  }
  read_exactly(file, &header_size, sizeof header_size, path_);
  const uint64_t limit = std::min(kMaxHeader, file_size - sizeof header_size);
  if (header_size > limit) {
    throw ModelError(
        fmt::format("{}: not a safetensors file, or truncated: expected a header of at most {} bytes, got {}",
                    path_, limit, header_size));
  }
  std::string header(header_size, '\0');
  read_exactly(file, header.data(), header.size(), path_);
  data_size_ = file_size - sizeof header_size - header_size;
  tensors_ = parse_safetensors_header(header, data_size_, path_);
  data_ = aligned_bytes(data_size_);
  read_exactly(file, data_.get(), data_size_, path_);
}

TensorBytes SafetensorsFile::tensor(const std::string& name) const {
  const StoredTensor& stored = tensors_.at(name);
  return {name, path_, stored.type, stored.shape, {data_.get() + stored.begin, stored.end - stored.begin},
          data_};
}

}  // namespace zeta::nn
