#include "src/serving/model_config/tensor_types.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace zeta::serving {
namespace {

constexpr std::pair<DataType, inference::DataType> kTypes[] = {
    {DataType::kBool, inference::TYPE_BOOL},     {DataType::kUint8, inference::TYPE_UINT8},
    {DataType::kUint16, inference::TYPE_UINT16}, {DataType::kUint32, inference::TYPE_UINT32},
    {DataType::kUint64, inference::TYPE_UINT64}, {DataType::kInt8, inference::TYPE_INT8},
    {DataType::kInt16, inference::TYPE_INT16},   {DataType::kInt32, inference::TYPE_INT32},
    {DataType::kInt64, inference::TYPE_INT64},   {DataType::kFp16, inference::TYPE_FP16},
    {DataType::kBf16, inference::TYPE_BF16},     {DataType::kFp32, inference::TYPE_FP32},
    {DataType::kFp64, inference::TYPE_FP64},     {DataType::kBytes, inference::TYPE_STRING},
};

}  // namespace

DataType to_data_type(inference::DataType type) {
  return std::ranges::find(kTypes, type, [](const auto& pair) { return pair.second; })->first;
}

inference::DataType to_proto(DataType type) {
  return std::ranges::find(kTypes, type, [](const auto& pair) { return pair.first; })->second;
}

}  // namespace zeta::serving
