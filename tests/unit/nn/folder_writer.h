// Writing of model folders, whole or with one thing wrong.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "src/nn/safetensors.h"

namespace zeta::nn {

struct WritableTensor {
  std::string dtype;
  std::vector<int64_t> shape;
  std::string bytes;
};
using WritableTensors = std::map<std::string, WritableTensor>;

inline WritableTensors read_tensors(const std::string& path) {
  const SafetensorsFile file(path);
  WritableTensors out;
  for (const auto& [name, stored] : file.tensors()) {
    const TensorBytes tensor = file.tensor(name);
    out[name] = {std::string(stored_type_name(stored.type)), stored.shape,
                 std::string(reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size())};
  }
  return out;
}

inline void write_tensors(const std::string& path, const WritableTensors& tensors) {
  boost::json::object header;
  uint64_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    header[name] = {{"dtype", tensor.dtype},
                    {"shape", boost::json::array(tensor.shape.begin(), tensor.shape.end())},
                    {"data_offsets", {offset, offset + tensor.bytes.size()}}};
    offset += tensor.bytes.size();
  }
  std::string text = boost::json::serialize(header);
  text.append((8 - text.size() % 8) % 8, ' ');
  const uint64_t length = text.size();
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(&length), sizeof length) << text;
  for (const auto& [name, tensor] : tensors) file << tensor.bytes;
}

inline boost::json::object read_json(const std::string& path) {
  std::ifstream file(path);
  return boost::json::parse(std::string(std::istreambuf_iterator<char>(file), {})).as_object();
}

inline void write_json(const std::string& path, const boost::json::object& object) {
  std::ofstream(path) << boost::json::serialize(object);
}

}  // namespace zeta::nn
