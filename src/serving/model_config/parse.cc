#include "src/serving/model_config/parse.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/message.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/json_util.h>

#include <string>
#include <vector>

#include "src/base/concat.h"

namespace zeta::serving {
namespace {

constexpr int kMaxDepth = 32;

// Keeps the first complaint: the rest follow from it.
class FirstError final : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, google::protobuf::io::ColumnNumber column, const std::string& message) override {
    if (message_.empty()) message_ = concat("line ", line + 1, ", column ", column + 1, ": ", message);
  }
  const std::string& message() const { return message_; }

 private:
  std::string message_;
};

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// proto3 keeps numbers that an enumeration does not have. "" when there is none, else field and number.
std::string unknown_value(const Message& message) {
  const Reflection& from = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  from.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const bool repeated = field->is_repeated();
    const int count = repeated ? from.FieldSize(message, field) : 1;
    for (int i = 0; i < count; ++i) {
      if (field->cpp_type() == FieldDescriptor::CPPTYPE_ENUM) {
        const int value =
            repeated ? from.GetRepeatedEnumValue(message, field, i) : from.GetEnumValue(message, field);
        if (field->enum_type()->FindValueByNumber(value) != nullptr) continue;
        return concat("field '", field->name(), "' has no value ", value);
      }
      if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) break;
      std::string found = unknown_value(repeated ? from.GetRepeatedMessage(message, field, i)
                                                 : from.GetMessage(message, field));
      if (!found.empty()) return found;
    }
  }
  return "";
}

absl::StatusOr<inference::ModelConfig> without_unknown_values(inference::ModelConfig config,
                                                              const std::string& where) {
  const std::string unknown = unknown_value(config);
  if (unknown.empty()) return config;
  return absl::InvalidArgumentError(concat(where, ": ", unknown));
}

}  // namespace

absl::StatusOr<inference::ModelConfig> parse_model_config(std::string_view text, std::string_view path) {
  FirstError error;
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  parser.SetRecursionLimit(kMaxDepth);
  inference::ModelConfig config;
  const std::string where = concat("failed to read text proto from ", path);
  if (parser.ParseFromString(std::string(text), &config)) return without_unknown_values(config, where);
  return absl::InvalidArgumentError(concat(where, ": ", error.message()));
}

absl::StatusOr<inference::ModelConfig> parse_model_config_json(std::string_view json) {
  inference::ModelConfig config;
  const auto status = google::protobuf::util::JsonStringToMessage(
      google::protobuf::StringPiece(json.data(), json.size()), &config);
  const std::string where = "failed to read the model configuration given as JSON";
  if (status.ok()) return without_unknown_values(config, where);
  const std::string message =
      status.message().ToString();  // the place in the text follows on lines of its own
  return absl::InvalidArgumentError(concat(where, ": ", message.substr(0, message.find('\n'))));
}

}  // namespace zeta::serving
