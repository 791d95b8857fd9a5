#include "src/serving/shared_memory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "src/serving/cuda_driver.h"
#include "src/serving/shared_memory_input.h"
#include "src/serving/tensor.h"

namespace zeta::serving {
namespace {

constexpr size_t kSize = 10'000;  // more than two pages, and not whole ones

// A shared memory object whose byte i is i mod 251.
class SharedMemoryTest : public testing::Test {
 protected:
  void SetUp() override {
    key_ = "/test-shared-memory-" + std::to_string(getpid());
    const int object = shm_open(key_.c_str(), O_CREAT | O_RDWR, 0600);
    ASSERT_GE(object, 0);
    ASSERT_EQ(ftruncate(object, kSize), 0);
    data_ = static_cast<unsigned char*>(mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, object, 0));
    close(object);
    for (size_t i = 0; i < kSize; ++i) data_[i] = static_cast<unsigned char>(i % 251);
  }
  void TearDown() override {
    munmap(data_, kSize);
    shm_unlink(key_.c_str());
  }

  std::string key_;
  unsigned char* data_ = nullptr;
  SharedMemoryRegistry registry_{true};
};

TEST_F(SharedMemoryTest, AnyOffsetWithinARegion) {
  ASSERT_TRUE(registry_.add({"r", key_, 5001, 4999}).ok());
  const auto range = registry_.find("r", 998, 4001);
  ASSERT_TRUE(range.ok()) << range.status();
  const auto read = range->read();
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->size, 4001u);
  EXPECT_EQ(std::memcmp(read->data, data_ + 5999, 4001), 0);
  ASSERT_TRUE(range->write(make_buffer("new")).ok());
  EXPECT_EQ(std::string(reinterpret_cast<char*>(data_ + 5998), 5), std::string("\xe1new\xe5", 5));
}

// A range of which no byte can be read: whoever copies it before it compares fails otherwise.
TEST_F(SharedMemoryTest, AnInputIsNotCopiedBeforeItsSizeIsChecked) {
  const SharedMemoryRange huge(system_memory(-1), 0, uint64_t{1} << 62);
  EXPECT_EQ(read_input(huge, {"x", DataType::kFp32, {2, 2}}, "m").status().message(),
            "input byte size mismatch for input 'x' for model 'm'. Expected 16, got 4611686018427387904");
  EXPECT_EQ(read_input(huge, {"x", DataType::kBytes, {1}}, "m").status().message(),
            "input 'x' for model 'm' is longer than 2147483647 bytes");
  ASSERT_TRUE(registry_.add({"r", key_, 0, kSize}).ok());
  const auto range = registry_.find("r", 4, 16);
  EXPECT_EQ(read_input(*range, {"x", DataType::kFp32, {2, 2}}, "m")->size, 16u);
  EXPECT_EQ(read_input(*range, {"x", DataType::kBytes, {1}}, "m")->size, 16u);
}

TEST_F(SharedMemoryTest, ARangeOutlivesItsRegion) {
  ASSERT_TRUE(registry_.add({"r", key_, 0, kSize}).ok());
  const auto range = registry_.find("r", 0, kSize);
  ASSERT_TRUE(registry_.remove("r").ok());
  EXPECT_EQ(registry_.find("r", 0, 1).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(std::memcmp(range->read()->data, data_, kSize), 0);
}

TEST_F(SharedMemoryTest, AClientThatShrinksItsMemoryHarmsItselfAlone) {
  ASSERT_TRUE(registry_.add({"r", key_, 0, kSize}).ok());
  const int object = shm_open(key_.c_str(), O_RDWR, 0);
  ASSERT_EQ(ftruncate(object, 100), 0);
  close(object);
  EXPECT_TRUE(absl::IsInvalidArgument(registry_.find("r", 0, kSize)->read().status()));
  EXPECT_TRUE(registry_.find("r", 0, 100)->read().ok());
}

TEST_F(SharedMemoryTest, RangesThatAreNotThereAreRefused) {
  ASSERT_TRUE(registry_.add({"r", key_, 0, 100}).ok());
  EXPECT_TRUE(registry_.find("r", 100, 0).ok());
  for (const auto& [offset, size] :
       {std::pair<uint64_t, uint64_t>{0, 101}, {100, 1}, {101, 0}, {UINT64_MAX, 2}, {2, UINT64_MAX}}) {
    EXPECT_EQ(registry_.find("r", offset, size).status().message(),
              "Invalid offset + byte size for shared memory region: 'r'");
  }
  EXPECT_TRUE(absl::IsInvalidArgument(registry_.add({"s", key_, kSize, 1})));
  EXPECT_TRUE(absl::IsInvalidArgument(registry_.add({"s", key_, UINT64_MAX, 2})));
  EXPECT_TRUE(absl::IsInvalidArgument(registry_.add({"s", key_, 0, UINT64_MAX})));
  EXPECT_TRUE(absl::IsAlreadyExists(registry_.add({"r", key_, 0, 1})));
}

TEST_F(SharedMemoryTest, KeysLeadNowhereElse) {
  for (const std::string& bad : {std::string(), std::string("/"), std::string(".."), std::string("/.."),
                                 std::string("/a/b"), std::string("../etc/passwd"), std::string("a\0b", 3),
                                 std::string(300, 'x'), std::string("/zeta_x"), std::string("triton_x")}) {
    EXPECT_TRUE(absl::IsInvalidArgument(registry_.add({"r", bad, 0, 1}))) << bad;
  }
  EXPECT_TRUE(registry_.list("")->empty());
}

TEST_F(SharedMemoryTest, TheKindsShareNamesAndNothingElse) {
  ASSERT_TRUE(registry_.add({"r", key_, 0, 100}).ok());
  EXPECT_TRUE(registry_.list_cuda("")->empty());
  EXPECT_EQ(registry_.list_cuda("r").status().message(),
            "The region named 'r' is registered as system shared memory, not CUDA shared memory");
  EXPECT_EQ(registry_.list_cuda("s").status().message(), "Unable to find cuda shared memory region: 's'");
  EXPECT_EQ(registry_.list("s").status().message(), "Unable to find system shared memory region: 's'");
  EXPECT_EQ(registry_.add_cuda({"r", std::string(64, '\0'), 0, 8}).message(),
            "shared memory region 'r' already in manager");
  EXPECT_TRUE(registry_.remove_cuda("r").ok());
  EXPECT_TRUE(registry_.remove_cuda("").ok());
  EXPECT_EQ(registry_.list("")->size(), 1u);
}

TEST_F(SharedMemoryTest, HandlesOfNoGpuAreRefused) {
  const absl::Status status = registry_.add_cuda({"g", "AAAA", 0, 8});
  EXPECT_EQ(status.message(), cuda_driver() == nullptr
                                  ? "failed to register CUDA shared memory region: 'g', GPUs not supported"
                                  : "failed to register shared memory region 'g': invalid args");
  EXPECT_TRUE(registry_.list_cuda("")->empty());
}

TEST(SharedMemory, IsRefusedUnlessAllowed) {
  SharedMemoryRegistry registry(false);
  EXPECT_TRUE(absl::IsUnavailable(registry.add({"r", "/x", 0, 1})));
  EXPECT_TRUE(absl::IsUnavailable(registry.find("r", 0, 1).status()));
  EXPECT_TRUE(absl::IsUnavailable(registry.add_cuda({"r", std::string(64, '\0'), 0, 1})));
  EXPECT_TRUE(absl::IsUnavailable(registry.list_cuda("").status()));
  EXPECT_TRUE(absl::IsUnavailable(registry.remove_cuda("")));
}

}  // namespace
}  // namespace zeta::serving
