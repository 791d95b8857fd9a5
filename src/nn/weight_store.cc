#include "src/nn/weight_store.h"

#include <fmt/format.h>

#include <filesystem>

#include "src/nn/json_object.h"
#include "src/nn/model_error.h"

namespace zeta::nn {
namespace {

constexpr std::string_view kSingle = "model.safetensors";
constexpr std::string_view kIndex = "model.safetensors.index.json";

std::map<std::string, std::string> read_weight_map(const std::string& path) {
  const JsonObject map = JsonObject::read_file(path).required_object("weight_map");
  std::map<std::string, std::string> weight_map;
  for (const auto& item : map.raw()) {
    const std::string name(item.key());
    const std::string file = map.string(name);
    if (std::filesystem::path(file).filename() != file || file == "." || file == "..") {
      map.fail(name, "expected the name of a file in the same folder");
    }
    weight_map.emplace(name, file);
  }
  return weight_map;
}

}  // namespace

WeightStore::WeightStore(const std::string& folder) : folder_(folder) {
  if (std::filesystem::exists(fmt::format("{}/{}", folder, kIndex))) {
    const auto weight_map = read_weight_map(fmt::format("{}/{}", folder, kIndex));
    std::set<std::string> names;
    for (const auto& [tensor, file] : weight_map) names.insert(file);
    for (const std::string& name : names) add_file(name);
    check_index(weight_map);
  } else if (std::filesystem::exists(fmt::format("{}/{}", folder, kSingle))) {
    add_file(std::string(kSingle));
  } else {
    throw ModelError(
        fmt::format("{}: neither {} nor {} found; expected a Hugging Face model folder in safetensors form",
                    folder, kSingle, kIndex));
  }
}

void WeightStore::add_file(const std::string& name) {
  files_.push_back(std::make_unique<SafetensorsFile>(fmt::format("{}/{}", folder_, name)));
  for (const auto& [tensor, stored] : files_.back()->tensors()) {
    const auto [where, added] = file_of_.emplace(tensor, files_.back().get());
    if (!added) {
      throw ModelError(
          fmt::format("{}: tensor '{}' is also in {}", files_.back()->path(), tensor, where->second->path()));
    }
  }
}

void WeightStore::check_index(const std::map<std::string, std::string>& weight_map) const {
  for (const auto& [tensor, file] : weight_map) {
    const auto found = file_of_.find(tensor);
    if (found == file_of_.end() || found->second->path() != fmt::format("{}/{}", folder_, file)) {
      throw ModelError(fmt::format("{}/{}: tensor '{}' is not in {}", folder_, kIndex, tensor, file));
    }
  }
}

TensorBytes WeightStore::take(const std::string& name) {
  const auto found = file_of_.find(name);
  if (found == file_of_.end()) throw ModelError(fmt::format("{}: tensor '{}' is missing", folder_, name));
  taken_.insert(name);
  return found->second->tensor(name);
}

void WeightStore::require_all_taken(const std::vector<std::string_view>& ignorable) const {
  for (const auto& [name, file] : file_of_) {
    bool accounted = taken_.contains(name);
    for (std::string_view suffix : ignorable) accounted = accounted || name.ends_with(suffix);
    if (!accounted) {
      throw ModelError(fmt::format("{}: tensor '{}' has no place in the model that config.json describes",
                                   file->path(), name));
    }
  }
}

size_t WeightStore::bytes() const {
  size_t total = 0;
  for (const auto& file : files_) total += file->data_size();
  return total;
}

}  // namespace zeta::nn
