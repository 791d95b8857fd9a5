#include "src/nn/llama.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "tests/unit/nn/folder_fixture.h"
#include "tests/unit/nn/folder_writer.h"
#include "tests/unit/nn/golden_llama.h"

namespace zeta::nn {
namespace {

// Two correct implementations differ, as a share of the largest logit, by
//   fp32: rounding of 15 linear layers of up to 96 terms, 15 · 96 · 2⁻²⁴;
//   bf16: about 30 roundings of the whole activation one after another, 30 · 2⁻⁹;
//   ternary: rounding that flips a few activations by one of 127 steps. One flip moves a product of 64 terms,
//     whose largest input is about 3 times the typical one, by about 3/(127·√64) of its size; allow three;
//   w4a8: other steps (of max|x| / 127.5 there, 127 here), so errors of 1/√12 of a step on either side, √2 ·
//   3/(127·√12)
//     ≈ 1 % of a layer's typical output; √15 layers, 4 typical deviations, and logits whose largest is 3.5
//     typical ones.
//   int2, int8: as ternary;  fp8: a flip moves an input by 2⁻⁴ of itself in the mean, 3 · 2⁻⁴/√64; allow one.
double tolerance(const std::string& name) {
  if (name == "dense_bf16") return 30 * 0x1p-9;
  if (name == "w4a8") return 0.01 * 3.9 * 4 / 3.5;
  if (name == "fp8") return 3 * 0x1p-4 / 8;
  return name.starts_with("ternary") || name == "int2" || name == "int8" ? 3 * 3.0 / (127 * 8)
                                                                         : 15 * 96 * 0x1p-24;
}

at::Tensor expected_logits(const GoldenLlama& golden) {
  return at::tensor(golden.logits).view({-1, golden.vocab_size});
}

// The logits after `tokens`, fed in chunks of `chunk` tokens; one row a chunk.
at::Tensor run(const LlamaModel& model, std::span<const int32_t> tokens, size_t chunk) {
  KvCache cache = model.make_cache(256);
  std::vector<at::Tensor> rows;
  for (size_t i = 0; i < tokens.size(); i += chunk) {
    const auto part = tokens.subspan(i, std::min(chunk, tokens.size() - i));
    cache.reserve(cache.size() + static_cast<int64_t>(part.size()));
    const SequenceChunk input{&cache, part, true};
    rows.push_back(model.forward({&input, 1}));
  }
  return at::cat(rows);
}

double distance(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>() / b.abs().max().item<double>();
}

class LlamaGolden : public ::testing::TestWithParam<const char*> {
 protected:
  LlamaGolden() : golden(GetParam()), model(golden.folder) {}
  GoldenLlama golden;
  LlamaModel model;
};

TEST_P(LlamaGolden, LogitsAreThoseOfTransformers) {
  EXPECT_LT(distance(run(model, golden.prompt, 1), expected_logits(golden)), tolerance(GetParam()));
}

TEST_P(LlamaGolden, ChunksOfAPromptGiveTheSameLogits) {
  const at::Tensor last = expected_logits(golden)[-1];
  for (size_t chunk : {2u, 5u, 9u}) {
    EXPECT_LT(distance(run(model, golden.prompt, chunk)[-1], last), tolerance(GetParam())) << chunk;
  }
}

class LlamaGreedy : public LlamaGolden {};

TEST_P(LlamaGreedy, GreedyTokensAreThoseOfTransformers) {
  std::vector<int32_t> tokens = golden.prompt;
  KvCache cache = model.make_cache(256);
  for (size_t i = 0; i < golden.greedy.size(); ++i) {
    const auto unseen = std::span(tokens).subspan(static_cast<size_t>(cache.size()));
    cache.reserve(static_cast<int64_t>(tokens.size()));
    const SequenceChunk input{&cache, unseen, true};
    tokens.push_back(model.forward({&input, 1}).argmax().item<int32_t>());
  }
  EXPECT_EQ(std::vector<int32_t>(tokens.begin() + static_cast<ptrdiff_t>(golden.prompt.size()), tokens.end()),
            golden.greedy);
}

// Three sequences at different stages in one batch, against each alone.
TEST_P(LlamaGolden, ABatchGivesEachSequenceItsOwnLogits) {
  const std::vector<std::vector<int32_t>> before{{5, 6, 7}, {}, {9}};
  const std::vector<std::vector<int32_t>> next{{8}, {1, 2, 3, 4}, {200}};
  std::vector<KvCache> together, alone;
  std::vector<SequenceChunk> chunks;
  std::vector<at::Tensor> expected;
  for (size_t i = 0; i < next.size(); ++i) {
    for (auto* caches : {&together, &alone}) {
      caches->push_back(model.make_cache(16));
      caches->back().reserve(16);
      const SequenceChunk chunk{&caches->back(), before[i], false};
      if (!before[i].empty()) model.forward({&chunk, 1});
    }
  }
  for (size_t i = 0; i < next.size(); ++i) {
    const SequenceChunk chunk{&alone[i], next[i], true};
    expected.push_back(model.forward({&chunk, 1}));
    chunks.push_back({&together[i], next[i], true});
  }
  EXPECT_LT(distance(model.forward(chunks), at::cat(expected)), tolerance(GetParam()));
}

TEST_P(LlamaGolden, LogitsAreGivenOnlyWhereWanted) {
  KvCache one = model.make_cache(8), two = model.make_cache(8);
  one.reserve(8);
  two.reserve(8);
  const std::vector<int32_t> tokens{3, 4};
  const std::vector<SequenceChunk> chunks{{&one, tokens, false}, {&two, tokens, true}};
  EXPECT_EQ(model.forward(chunks).sizes(), (std::vector<int64_t>{1, golden.vocab_size}));
  const SequenceChunk quiet{&one, tokens, false};
  EXPECT_EQ(model.forward({&quiet, 1}).size(0), 0);
}

TEST_P(LlamaGolden, WeightsStayAsTheyAreOnDisk) {
  const auto file_size = std::filesystem::file_size(golden.folder + "/model.safetensors");
  EXPECT_LE(model.resident_weight_bytes(), 1.1 * static_cast<double>(file_size));
  EXPECT_LE(model.packed_bytes_on_disk(), file_size);
}

INSTANTIATE_TEST_SUITE_P(Folders, LlamaGolden,
                         ::testing::Values("dense", "dense_bf16", "ternary", "ternary_bitlinear", "int4",
                                           "w4a8", "int2", "int8", "fp8"),
                         [](const auto& test) { return std::string(test.param); });

// bf16 logits tie too often to compare choices.
INSTANTIATE_TEST_SUITE_P(Folders, LlamaGreedy,
                         ::testing::Values("dense", "ternary", "ternary_bitlinear", "int4", "int2", "int8",
                                           "fp8"),
                         [](const auto& test) { return std::string(test.param); });

using LlamaFolder = FolderTest;

// The comparison above notices a scale applied the wrong way round.
TEST_F(LlamaFolder, TheScaleRuleMatters) {
  const GoldenLlama golden("ternary_bitlinear");
  copy_folder(golden.folder);
  auto config = read_json(path("config.json"));
  config["quantization_config"].as_object()["linear_class"] = "autobitlinear";
  write_json(path("config.json"), config);
  const at::Tensor logits = run(LlamaModel(folder_), golden.prompt, 1);
  EXPECT_GT(distance(logits, expected_logits(golden)), 10 * tolerance("ternary"));
}

int64_t resident_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::stoll(line.substr(6)) * 1024;
  }
  return 0;
}

WritableTensor filled(const std::string& dtype, std::vector<int64_t> shape, size_t element) {
  size_t size = element;
  for (int64_t extent : shape) size *= static_cast<size_t>(extent);
  return {dtype, std::move(shape), std::string(size, '\x3f')};
}

// A ternary folder of about 53 MB: the process grows by its size, and by no more once it has been used.
TEST_F(LlamaFolder, PackedWeightsAreNeverUnpackedInMemory) {
  constexpr int64_t kHidden = 2048, kInner = 5632, kLayers = 4, kVocab = 512, kKv = 512;
  boost::json::object config = read_json(GoldenLlama("ternary").folder + "/config.json");
  config["hidden_size"] = kHidden;
  config["intermediate_size"] = kInner;
  config["num_hidden_layers"] = kLayers;
  config["num_attention_heads"] = 16;
  config["num_key_value_heads"] = 4;
  config["head_dim"] = 128;
  config["vocab_size"] = kVocab;
  config["attention_bias"] = false;
  config["tie_word_embeddings"] = true;
  write_json(path("config.json"), config);
  WritableTensors tensors{{"model.embed_tokens.weight", filled("F32", {kVocab, kHidden}, 4)},
                          {"model.norm.weight", filled("F32", {kHidden}, 4)}};
  for (int64_t i = 0; i < kLayers; ++i) {
    const std::string layer = "model.layers." + std::to_string(i) + ".";
    const auto add = [&](const std::string& name, int64_t out, int64_t in) {
      tensors[layer + name + ".weight"] = filled("U8", {out / 4, in}, 1);
      tensors[layer + name + ".weight_scale"] = filled("F32", {1}, 4);
    };
    tensors[layer + "input_layernorm.weight"] = filled("F32", {kHidden}, 4);
    tensors[layer + "post_attention_layernorm.weight"] = filled("F32", {kHidden}, 4);
    add("self_attn.q_proj", kHidden, kHidden);
    add("self_attn.k_proj", kKv, kHidden);
    add("self_attn.v_proj", kKv, kHidden);
    add("self_attn.o_proj", kHidden, kHidden);
    add("mlp.gate_proj", kInner, kHidden);
    add("mlp.up_proj", kInner, kHidden);
    add("mlp.down_proj", kHidden, kInner);
  }
  write_tensors(path("model.safetensors"), tensors);
  tensors.clear();
  const auto packed = static_cast<int64_t>(std::filesystem::file_size(path("model.safetensors")));
  ASSERT_GT(packed, 40 << 20);

  const int64_t before = resident_bytes();
  const LlamaModel model(folder_);
  run(model, std::vector<int32_t>{1, 2, 3}, 1);
  // 4 MiB for caches, activations and the allocator's own.
  EXPECT_LE(resident_bytes() - before, packed * 11 / 10 + (4 << 20));
  EXPECT_LE(static_cast<int64_t>(model.resident_weight_bytes()), packed * 11 / 10);
}

}  // namespace
}  // namespace zeta::nn
