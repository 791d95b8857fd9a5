#include "apps/zeta-server/grpc/typed_contents.h"

#include <limits>
#include <string_view>
#include <utility>

#include "src/base/concat.h"
#include "src/serving/data_type.h"
#include "src/serving/tensor.h"

namespace zeta::server::grpc_api {
namespace {

using inference::InferTensorContents;
using serving::DataType;

struct Context {
  const std::string& input;
  const std::string& model;
  DataType type;
};

absl::Status misplaced(const Context& context, std::string_view found) {
  return absl::InvalidArgumentError(concat(
      "unexpected explicit tensor data for input tensor '", context.input, "' for model '", context.model,
      "' of type '", found, "', expected datatype '", data_type_name(context.type), "'"));
}

// The wire's type of the fields that are filled, but for `own`; "" when none is.
std::string_view other_field(const InferTensorContents& contents, int own) {
  const std::pair<int, std::pair<int, std::string_view>> fields[] = {
      {1, {contents.bool_contents_size(), "BOOL"}},     {2, {contents.int_contents_size(), "INT32"}},
      {3, {contents.int64_contents_size(), "INT64"}},   {4, {contents.uint_contents_size(), "UINT32"}},
      {5, {contents.uint64_contents_size(), "UINT64"}}, {6, {contents.fp32_contents_size(), "FP32"}},
      {7, {contents.fp64_contents_size(), "FP64"}},     {8, {contents.bytes_contents_size(), "BYTES"}}};
  for (const auto& [number, field] : fields) {
    if (number != own && field.first != 0) return field.second;
  }
  return "";
}

template <class Element, class Values>
absl::StatusOr<serving::Buffer> pack(const Context& context, const Values& values) {
  std::string bytes;
  bytes.reserve(static_cast<size_t>(values.size()) * sizeof(Element));
  for (const auto value : values) {
    const auto element = static_cast<Element>(value);
    if constexpr (std::integral<Element> && sizeof(Element) < sizeof(value)) {
      if (element != value) {
        return absl::InvalidArgumentError(concat("input tensor '", context.input, "' for model '",
                                                 context.model, "' holds ", value, ", which is no ",
                                                 data_type_name(context.type)));
      }
    }
    bytes.append(reinterpret_cast<const char*>(&element), sizeof element);
  }
  return serving::make_buffer(std::move(bytes));
}

absl::StatusOr<serving::Buffer> pack_strings(const InferTensorContents& contents) {
  std::string bytes;
  for (const std::string& element : contents.bytes_contents()) serving::append_bytes_element(bytes, element);
  return serving::make_buffer(std::move(bytes));
}

// The number of the field that holds elements of `type`; 0 when none does.
int field_of(DataType type) {
  switch (type) {
    case DataType::kBool:
      return InferTensorContents::kBoolContentsFieldNumber;
    case DataType::kInt8:
    case DataType::kInt16:
    case DataType::kInt32:
      return InferTensorContents::kIntContentsFieldNumber;
    case DataType::kInt64:
      return InferTensorContents::kInt64ContentsFieldNumber;
    case DataType::kUint8:
    case DataType::kUint16:
    case DataType::kUint32:
      return InferTensorContents::kUintContentsFieldNumber;
    case DataType::kUint64:
      return InferTensorContents::kUint64ContentsFieldNumber;
    case DataType::kFp32:
      return InferTensorContents::kFp32ContentsFieldNumber;
    case DataType::kFp64:
      return InferTensorContents::kFp64ContentsFieldNumber;
    case DataType::kBytes:
      return InferTensorContents::kBytesContentsFieldNumber;
    case DataType::kFp16:
    case DataType::kBf16:
      return 0;
  }
  return 0;
}

}  // namespace

absl::StatusOr<serving::Buffer> read_contents(const std::string& input, const std::string& model,
                                              DataType type, const InferTensorContents& contents) {
  const Context context{input, model, type};
  const std::string_view other = other_field(contents, field_of(type));
  if (!other.empty()) return misplaced(context, other);
  switch (type) {
    case DataType::kBool:
      return pack<uint8_t>(context, contents.bool_contents());
    case DataType::kInt8:
      return pack<int8_t>(context, contents.int_contents());
    case DataType::kInt16:
      return pack<int16_t>(context, contents.int_contents());
    case DataType::kInt32:
      return pack<int32_t>(context, contents.int_contents());
    case DataType::kInt64:
      return pack<int64_t>(context, contents.int64_contents());
    case DataType::kUint8:
      return pack<uint8_t>(context, contents.uint_contents());
    case DataType::kUint16:
      return pack<uint16_t>(context, contents.uint_contents());
    case DataType::kUint32:
      return pack<uint32_t>(context, contents.uint_contents());
    case DataType::kUint64:
      return pack<uint64_t>(context, contents.uint64_contents());
    case DataType::kFp32:
      return pack<float>(context, contents.fp32_contents());
    case DataType::kFp64:
      return pack<double>(context, contents.fp64_contents());
    case DataType::kBytes:
      return pack_strings(contents);
    case DataType::kFp16:
    case DataType::kBf16:
      break;
  }
  return absl::InvalidArgumentError(concat("expected raw_input_contents for input tensor '", input,
                                           "' for model '", model, "': ", data_type_name(type),
                                           " has no typed contents"));
}

}  // namespace zeta::server::grpc_api
