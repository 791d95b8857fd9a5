// All tensors of a model folder: `model.safetensors`, or the shards that `model.safetensors.index.json`
// names.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "src/nn/safetensors.h"

namespace zeta::nn {

// Hands every tensor out at most once, so that what nobody asked for is noticed: a tensor that the model does
// not use means a different model, not a spare. Not thread-safe.
class WeightStore {
 public:
  // Reads the files whole. Throws ModelError.
  explicit WeightStore(const std::string& folder);

  bool contains(const std::string& name) const { return file_of_.contains(name); }
  // Throws ModelError when the tensor is missing.
  TensorBytes take(const std::string& name);
  // Throws ModelError naming a tensor that was not taken, unless its name ends in one of `ignorable`.
  void require_all_taken(const std::vector<std::string_view>& ignorable) const;

  const std::string& folder() const { return folder_; }
  size_t bytes() const;  // of tensor data, on disk and in memory alike

 private:
  void add_file(const std::string& name);
  void check_index(const std::map<std::string, std::string>& weight_map) const;

  std::string folder_;
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::map<std::string, const SafetensorsFile*> file_of_;
  std::set<std::string> taken_;
};

}  // namespace zeta::nn
