// The folders that tests/golden/make_llama.py builds, and what transformers answers on them.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "src/nn/safetensors.h"

namespace zeta::nn {

struct GoldenLlama {
  explicit GoldenLlama(const std::string& name) : folder(std::string(ZETA_GOLDEN_LLAMA_DIR) + "/" + name) {
    const SafetensorsFile expected(folder + "/expected.safetensors");
    prompt = read<int32_t>(expected, "prompt");
    greedy = read<int32_t>(expected, "greedy");
    logits = read<float>(expected, "logits");
    vocab_size = static_cast<int64_t>(logits.size() / prompt.size());
  }

  template <typename T>
  static std::vector<T> read(const SafetensorsFile& file, const std::string& name) {
    const TensorBytes tensor = file.tensor(name);
    std::vector<T> out(tensor.bytes.size() / sizeof(T));
    std::memcpy(out.data(), tensor.bytes.data(), tensor.bytes.size());
    return out;
  }

  std::string folder;
  std::vector<int32_t> prompt, greedy;
  std::vector<float> logits;  // (prompt, vocab)
  int64_t vocab_size;
};

}  // namespace zeta::nn
