#include "src/nn/safetensors.h"

#include <sys/stat.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>

#include "src/nn/model_error.h"
#include "tests/unit/nn/folder_fixture.h"

namespace zeta::nn {
namespace {

constexpr const char* kHeader =
    R"({"__metadata__": {"format": "pt"},
        "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "b": {"dtype": "U8", "shape": [], "data_offsets": [24, 25]},
        "c": {"dtype": "I64", "shape": [0, 5], "data_offsets": [25, 25]}})";
constexpr size_t kData = 25;

std::string entry(const std::string& body) { return R"({"a": {)" + body + "}}"; }

std::string complaint(const std::string& header, size_t data_size) {
  return message_of<ModelError>([&] { parse_safetensors_header(header, data_size, "m.safetensors"); });
}

using Safetensors = FolderTest;

TEST_F(Safetensors, ReadsTensors) {
  write("m", safetensors(kHeader, kData));
  const SafetensorsFile file(path("m"));
  ASSERT_EQ(file.tensors().size(), 3u);
  const TensorBytes a = file.tensor("a");
  EXPECT_EQ(a.type, StoredType::kF32);
  EXPECT_EQ(a.shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(a.bytes.size(), 24u);
  EXPECT_EQ(a.bytes[5], std::byte{5});
  EXPECT_EQ(file.tensor("b").bytes[0], std::byte{24});
  EXPECT_TRUE(file.tensor("c").bytes.empty());
}

TEST_F(Safetensors, TensorsOutliveTheFile) {
  write("m", safetensors(kHeader, kData));
  auto file = std::make_unique<SafetensorsFile>(path("m"));
  const TensorBytes a = file->tensor("a");
  file.reset();
  std::filesystem::resize_file(path("m"), 0);
  EXPECT_EQ(a.bytes[23], std::byte{23});
}

// The flags that /proc/self/smaps has of the mapping around an address: "hg" is one that asked for huge
// pages.
std::string mapping_flags(const void* address) {
  const auto at = reinterpret_cast<uintptr_t>(address);
  std::ifstream maps("/proc/self/smaps");
  bool inside = false;
  for (std::string line; std::getline(maps, line);) {
    unsigned long begin = 0, end = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &begin, &end) == 2) inside = begin <= at && at < end;
    if (inside && line.starts_with("VmFlags:")) return line;
  }
  return "";
}

TEST_F(Safetensors, LargeFilesLieInHugePages) {
  if (!std::filesystem::exists("/sys/kernel/mm/transparent_hugepage/enabled"))
    GTEST_SKIP() << "this kernel has no huge pages to give";
  constexpr size_t kSize = (5 << 20) + 3;
  write("m",
        safetensors(R"({"a": {"dtype": "U8", "shape": [5242883], "data_offsets": [0, 5242883]}})", kSize));
  const SafetensorsFile file(path("m"));
  const TensorBytes a = file.tensor("a");
  EXPECT_EQ(reinterpret_cast<uintptr_t>(a.bytes.data()) % (2 << 20), 0u);
  EXPECT_EQ(a.bytes[kSize - 1], static_cast<std::byte>(kSize - 1));
  for (const std::byte* at : {a.bytes.data(), a.bytes.data() + kSize - 1})
    EXPECT_NE(mapping_flags(at).find(" hg"), std::string::npos) << mapping_flags(at);
}

TEST_F(Safetensors, RefusesEveryTruncation) {
  const std::string whole = safetensors(kHeader, kData);
  for (size_t size = 0; size < whole.size(); ++size) {
    write("m", whole.substr(0, size));
    EXPECT_TRUE(mentions(message_of<ModelError>([&] { SafetensorsFile file(path("m")); }), {"/m: "}))
        << "first " << size << " bytes";
  }
}

TEST_F(Safetensors, RefusesForeignFiles) {
  const std::string huge_header = std::string(8, '\xff') + "{}";
  for (const std::string& bytes : {std::string("PK\x03\x04 a zip archive of a torch.save"), huge_header,
                                   safetensors(kHeader, kData + 1), safetensors("[]", 0)}) {
    write("m", bytes);
    EXPECT_TRUE(mentions(message_of<ModelError>([&] { SafetensorsFile file(path("m")); }), {"/m: "}));
  }
  EXPECT_TRUE(
      mentions(message_of<ModelError>([&] { SafetensorsFile file(path("none")); }), {"No such file"}));
  EXPECT_NE("", message_of<ModelError>([&] { SafetensorsFile file(folder_); }));
}

TEST_F(Safetensors, RefusesAPipeWithoutWaitingForIt) {
  ASSERT_EQ(::mkfifo(path("m").c_str(), 0600), 0);
  EXPECT_TRUE(mentions(message_of<ModelError>([&] { SafetensorsFile file(path("m")); }), {"not a regular"}));
}

TEST(SafetensorsHeader, RefusesBadEntries) {
  EXPECT_TRUE(
      mentions(complaint(entry(R"("dtype": "F7", "shape": [1], "data_offsets": [0, 1])"), 1), {"F7"}));
  EXPECT_TRUE(
      mentions(complaint(entry(R"("dtype": "U8", "shape": [-1], "data_offsets": [0, 1])"), 1), {"shape"}));
  EXPECT_TRUE(
      mentions(complaint(entry(R"("dtype": "U8", "shape": 1, "data_offsets": [0, 1])"), 1), {"shape"}));
  EXPECT_TRUE(mentions(complaint(entry(R"("dtype": "U8", "data_offsets": [0, 1])"), 1), {"shape"}));
  EXPECT_TRUE(mentions(complaint(entry(R"("dtype": "U8", "shape": [1])"), 1), {"data_offsets"}));
  EXPECT_TRUE(mentions(complaint(entry(R"("dtype": "U8", "shape": [1], "data_offsets": [1, 0])"), 1),
                       {"data_offsets"}));
  EXPECT_TRUE(
      mentions(complaint(entry(R"("dtype": "U8", "shape": [2], "data_offsets": [0, 2])"), 1), {"≤ 1"}));
  EXPECT_TRUE(mentions(complaint(entry(R"("dtype": "U8", "shape": [2], "data_offsets": [0, 1])"), 1),
                       {"expected 2 bytes"}));
  EXPECT_TRUE(mentions(
      complaint(entry(R"("dtype": "F32", "shape": [4294967296, 4294967296], "data_offsets": [0, 0])"), 0),
      {"64 bits"}));
  EXPECT_TRUE(mentions(complaint(R"({"a": 3})", 0), {"expected an object"}));
}

TEST(SafetensorsHeader, RefusesOverlapsAndGaps) {
  const auto two = [](int begin, int end) {
    return R"({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}, "b": {"dtype": "U8", "shape": [)" +
           std::to_string(end - begin) + R"(], "data_offsets": [)" + std::to_string(begin) + ", " +
           std::to_string(end) + "]}}";
  };
  EXPECT_EQ("", complaint(two(4, 8), 8));
  EXPECT_TRUE(mentions(complaint(two(3, 8), 8), {"overlap"}));
  EXPECT_TRUE(mentions(complaint(two(5, 8), 8), {"overlap or leave a gap at byte 4"}));
  EXPECT_TRUE(mentions(complaint(two(4, 7), 8), {"describes 7 bytes"}));
}

// Whatever bytes a header holds, it is read or refused with a ModelError; and what is read stays in range.
TEST(SafetensorsHeader, SurvivesMutation) {
  constexpr uint32_t kSeed = 20240611;
  constexpr int kRounds = 20000;
  std::mt19937 random(kSeed);
  const std::string alphabet = "0123456789{}[]\",:-eE.\\ nulltruefaseF32U8" + std::string("\0\xff", 2);
  int read = 0;
  for (int round = 0; round < kRounds; ++round) {
    std::string header = kHeader;
    for (uint32_t edits = 1 + random() % 3; edits > 0; --edits) {
      const size_t at = random() % header.size();
      switch (random() % 3) {
        case 0:
          header[at] = alphabet[random() % alphabet.size()];
          break;
        case 1:
          header.erase(at, 1 + random() % 4);
          break;
        default:
          header.insert(at, 1, alphabet[random() % alphabet.size()]);
      }
    }
    try {
      for (const auto& [name, tensor] : parse_safetensors_header(header, kData, "m")) {
        ASSERT_LE(tensor.begin, tensor.end) << header;
        ASSERT_LE(tensor.end, kData) << header;
      }
      ++read;
    } catch (const ModelError&) {
    }
  }
  EXPECT_GT(read, 0) << "seed " << kSeed;
  EXPECT_LT(read, kRounds) << "seed " << kSeed;
}

}  // namespace
}  // namespace zeta::nn
