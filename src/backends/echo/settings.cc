#include "src/backends/echo/settings.h"

#include <boost/json.hpp>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string_view>

#include "src/base/concat.h"
#include "src/serving/data_type.h"

namespace zeta::echo {
namespace {

namespace json = boost::json;

Settings::Kind parse_kind(std::string_view kind) {
  if (kind == "identity") return Settings::Kind::kIdentity;
  if (kind == "repeat") return Settings::Kind::kRepeat;
  if (kind == "count") return Settings::Kind::kCount;
  if (kind == "text") return Settings::Kind::kText;
  throw std::invalid_argument(concat("expected identity, repeat, count or text, got '", kind, "'"));
}

serving::DataType parse_type(std::string_view name) {
  const auto type = serving::parse_data_type(name);
  if (!type) throw std::invalid_argument(concat("unknown data type '", name, "'"));
  return *type;
}

void set_field(Settings& settings, std::string_view key, const json::value& value) {
  if (key == "kind") {
    settings.kind = parse_kind(std::string_view(value.as_string()));
  } else if (key == "datatype") {
    settings.datatype = parse_type(std::string_view(value.as_string()));
  } else if (key == "shape") {
    settings.shape = json::value_to<std::vector<int64_t>>(value);
  } else if (key == "times") {
    settings.times = value.as_int64();
  } else if (key == "delay_ms") {
    settings.delay = std::chrono::milliseconds(value.as_int64());
  } else if (key == "load_ms") {
    settings.load = std::chrono::milliseconds(value.as_int64());
  } else if (key == "max_in_flight") {
    settings.max_in_flight = value.as_int64();
  } else if (key == "context") {
    settings.context = value.as_int64();
  } else {
    throw std::invalid_argument("unknown field");
  }
}

}  // namespace

absl::StatusOr<Settings> read_settings(const std::string& folder, const std::string& file_name) {
  const std::string path = folder + "/" + (file_name.empty() ? "echo.json" : file_name);
  std::ifstream file(path);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) return absl::NotFoundError("cannot read " + path);
  Settings settings;
  std::string key;
  try {
    const json::value fields = json::parse(text.str());
    for (const auto& field : fields.as_object()) {
      key = field.key();
      set_field(settings, key, field.value());
    }
  } catch (const std::exception& error) {
    const std::string where = key.empty() ? "" : concat(" field '", key, "'");
    return absl::InvalidArgumentError(concat(path, where, ": ", error.what()));
  }
  return settings;
}

}  // namespace zeta::echo
