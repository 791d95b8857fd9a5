#include "src/backends/torch/call_spec.h"

#include <boost/json.hpp>
#include <stdexcept>

#include "src/base/concat.h"

namespace zeta::torch_backend {
namespace {

namespace json = boost::json;

void add_leaves(const json::value& node, const std::string& path, std::vector<std::string>& names) {
  const json::object& fields = node.as_object();
  const json::value& type = fields.at("type");
  const json::array& children = fields.at("children_spec").as_array();
  if (type.is_null()) {
    names.push_back(path);
    return;
  }
  const std::string kind = json::value_to<std::string>(type);
  std::vector<std::string> keys;
  if (kind == "builtins.dict") {
    const json::value context = json::parse(json::value_to<std::string>(fields.at("context")));
    for (const json::value& key : context.as_array()) {
      keys.push_back(key.is_string() ? json::value_to<std::string>(key) : json::serialize(key));
    }
    if (keys.size() != children.size())
      throw std::invalid_argument("a dictionary with more keys than values");
  } else if (kind == "builtins.tuple" || kind == "builtins.list") {
    for (size_t i = 0; i < children.size(); ++i) keys.push_back(std::to_string(i));
  } else {
    throw std::invalid_argument(concat("expected tuple, list or dict, got ", kind));
  }
  for (size_t i = 0; i < children.size(); ++i) {
    add_leaves(children[i], concat(path, "[", keys[i], "]"), names);
  }
}

// The tree stands behind a version number.
json::value tree_of(const std::string& spec) {
  json::value parsed = json::parse(spec);
  if (parsed.as_array().size() != 2 || parsed.as_array()[0] != 1) {
    throw std::invalid_argument("expected version 1 of torch's tree format");
  }
  return parsed.as_array()[1];
}

template <class Read>
absl::StatusOr<std::vector<std::string>> guarded(Read read) try {
  std::vector<std::string> names;
  read(names);
  return names;
} catch (const std::exception& error) {
  return absl::InvalidArgumentError(concat("cannot read the package's call spec: ", error.what()));
}

}  // namespace

absl::StatusOr<std::vector<std::string>> input_names(const std::string& in_spec) {
  return guarded([&](std::vector<std::string>& names) {
    const json::value tree = tree_of(in_spec);
    const json::array& children = tree.as_object().at("children_spec").as_array();
    add_leaves(children.at(0), "ARGS", names);
    add_leaves(children.at(1), "KWARGS", names);
  });
}

absl::StatusOr<std::vector<std::string>> output_names(const std::string& out_spec) {
  return guarded([&](std::vector<std::string>& names) { add_leaves(tree_of(out_spec), "RESULT", names); });
}

}  // namespace zeta::torch_backend
