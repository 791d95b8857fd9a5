#include "src/serving/data_type.h"

#include <algorithm>
#include <iterator>

namespace zeta::serving {
namespace {

struct Entry {
  DataType type;
  std::string_view name;
  size_t size;
};

// In the order of the enumeration.
constexpr Entry kTypes[] = {
    {DataType::kBool, "BOOL", 1},     {DataType::kUint8, "UINT8", 1},   {DataType::kUint16, "UINT16", 2},
    {DataType::kUint32, "UINT32", 4}, {DataType::kUint64, "UINT64", 8}, {DataType::kInt8, "INT8", 1},
    {DataType::kInt16, "INT16", 2},   {DataType::kInt32, "INT32", 4},   {DataType::kInt64, "INT64", 8},
    {DataType::kFp16, "FP16", 2},     {DataType::kBf16, "BF16", 2},     {DataType::kFp32, "FP32", 4},
    {DataType::kFp64, "FP64", 8},     {DataType::kBytes, "BYTES", 0},
};

const Entry& entry(DataType type) { return kTypes[static_cast<size_t>(type)]; }

}  // namespace

std::string_view data_type_name(DataType type) { return entry(type).name; }

std::optional<DataType> parse_data_type(std::string_view name) {
  const auto* found = std::ranges::find(kTypes, name, &Entry::name);
  if (found == std::end(kTypes)) return std::nullopt;
  return found->type;
}

size_t element_size(DataType type) { return entry(type).size; }

}  // namespace zeta::serving
