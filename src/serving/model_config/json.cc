#include "src/serving/model_config/json.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/map_field.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <vector>

#include "src/base/json_string.h"

namespace zeta::serving {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

void write_message(const Message& message, std::string& out);

template <class T>
void append_number(T value, std::string& out) {
  std::array<char, 32> digits;
  out.append(digits.data(), std::to_chars(digits.begin(), digits.end(), value).ptr);
}

// JSON has no NaN or infinity; protobuf's own JSON writes them as strings.
template <class T>
void append_float(T value, std::string& out) {
  if (std::isfinite(value)) return append_number(value, out);
  out += std::isnan(value) ? "\"NaN\"" : value > 0 ? "\"Infinity\"" : "\"-Infinity\"";
}

// An element of a list, or with `index` −1 the field's one value.
void write_value(const Message& message, const FieldDescriptor& field, int index, std::string& out) {
  const Reflection& from = *message.GetReflection();
  const auto get = [&](auto one, auto many) {
    return index < 0 ? (from.*one)(message, &field) : (from.*many)(message, &field, index);
  };
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return append_number(get(&Reflection::GetInt32, &Reflection::GetRepeatedInt32), out);
    case FieldDescriptor::CPPTYPE_INT64:
      return append_number(get(&Reflection::GetInt64, &Reflection::GetRepeatedInt64), out);
    case FieldDescriptor::CPPTYPE_UINT32:
      return append_number(get(&Reflection::GetUInt32, &Reflection::GetRepeatedUInt32), out);
    case FieldDescriptor::CPPTYPE_UINT64:
      return append_number(get(&Reflection::GetUInt64, &Reflection::GetRepeatedUInt64), out);
    case FieldDescriptor::CPPTYPE_FLOAT:
      return append_float(get(&Reflection::GetFloat, &Reflection::GetRepeatedFloat), out);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return append_float(get(&Reflection::GetDouble, &Reflection::GetRepeatedDouble), out);
    case FieldDescriptor::CPPTYPE_BOOL:
      out += get(&Reflection::GetBool, &Reflection::GetRepeatedBool) ? "true" : "false";
      return;
    case FieldDescriptor::CPPTYPE_ENUM: {
      const auto* value = get(&Reflection::GetEnum, &Reflection::GetRepeatedEnum);
      return append_json_string(out, value->name());
    }
    case FieldDescriptor::CPPTYPE_STRING:
      return append_json_string(out, get(&Reflection::GetString, &Reflection::GetRepeatedString));
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return write_message(
          index < 0 ? from.GetMessage(message, &field) : from.GetRepeatedMessage(message, &field, index),
          out);
  }
}

// A map is a list of entries with two fields. Ordered by key, so that the same configuration reads the same.
void write_map(const Message& message, const FieldDescriptor& field, std::string& out) {
  const Reflection& from = *message.GetReflection();
  std::vector<std::string> members;
  for (int i = 0; i < from.FieldSize(message, &field); ++i) {
    const Message& entry = from.GetRepeatedMessage(message, &field, i);
    std::string key, member;
    write_value(entry, *field.message_type()->map_key(), -1, key);
    member = key.starts_with('"') ? key : "\"" + key + "\"";
    member += ':';
    write_value(entry, *field.message_type()->map_value(), -1, member);
    members.push_back(std::move(member));
  }
  std::ranges::sort(members);
  out += '{';
  for (size_t i = 0; i < members.size(); ++i) out.append(i == 0 ? "" : ",").append(members[i]);
  out += '}';
}

void write_list(const Message& message, const FieldDescriptor& field, std::string& out) {
  out += '[';
  for (int i = 0; i < message.GetReflection()->FieldSize(message, &field); ++i) {
    if (i != 0) out += ',';
    write_value(message, field, i, out);
  }
  out += ']';
}

void write_message(const Message& message, std::string& out) {
  const auto& type = *message.GetDescriptor();
  const Reflection& from = *message.GetReflection();
  const char* separator = "{";
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (field.has_presence() && !from.HasField(message, &field)) continue;
    out += std::exchange(separator, ",");
    append_json_string(out, field.name());
    out += ':';
    if (field.is_map()) {
      write_map(message, field, out);
    } else if (field.is_repeated()) {
      write_list(message, field, out);
    } else {
      write_value(message, field, -1, out);
    }
  }
  out += *separator == '{' ? "{}" : "}";
}

}  // namespace

std::string model_config_json(const inference::ModelConfig& config) {
  std::string out;
  write_message(config, out);
  return out;
}

}  // namespace zeta::serving
