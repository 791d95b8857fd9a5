#include "src/nn/weight_store.h"

#include "src/nn/model_error.h"
#include "tests/unit/nn/folder_fixture.h"

namespace zeta::nn {
namespace {

class WeightStoreTest : public FolderTest {
 protected:
  void write_one(const std::string& file, const std::string& tensor) const {
    write(file,
          safetensors("{\"" + tensor + R"(": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}})", 2));
  }
  void write_index(const std::string& weight_map) const {
    write("model.safetensors.index.json", R"({"weight_map": {)" + weight_map + "}}");
  }
  std::string complaint() const {
    return message_of<ModelError>([&] { WeightStore store(folder_); });
  }
};

TEST_F(WeightStoreTest, ReadsASingleFile) {
  write_one("model.safetensors", "a");
  WeightStore store(folder_);
  EXPECT_EQ(store.take("a").bytes.size(), 2u);
  EXPECT_EQ(store.bytes(), 2u);
}

TEST_F(WeightStoreTest, ReadsShards) {
  write_one("one.safetensors", "a");
  write_one("two.safetensors", "b");
  write_index(R"("a": "one.safetensors", "b": "two.safetensors")");
  WeightStore store(folder_);
  EXPECT_TRUE(store.contains("a"));
  EXPECT_EQ(store.take("b").path, path("two.safetensors"));
  EXPECT_EQ(store.bytes(), 4u);
}

TEST_F(WeightStoreTest, NoticesWhatIsMissingOrLeftOver) {
  write_one("model.safetensors", "model.x.inv_freq");
  WeightStore store(folder_);
  EXPECT_TRUE(mentions(message_of<ModelError>([&] { store.take("lm_head.weight"); }),
                       {folder_, "'lm_head.weight' is missing"}));
  EXPECT_TRUE(mentions(message_of<ModelError>([&] { store.require_all_taken({}); }), {"model.x.inv_freq"}));
  store.require_all_taken({".inv_freq"});
}

TEST_F(WeightStoreTest, RefusesABadIndex) {
  write_one("one.safetensors", "a");
  write_index(R"("a": "../one.safetensors")");
  EXPECT_TRUE(mentions(complaint(), {"same folder"}));
  write_index(R"("a": "gone.safetensors")");
  EXPECT_TRUE(mentions(complaint(), {"gone.safetensors"}));
  write_index(R"("a": "one.safetensors", "b": "one.safetensors")");
  EXPECT_TRUE(mentions(complaint(), {"tensor 'b' is not in one.safetensors"}));
  write_one("two.safetensors", "a");
  write_index(R"("a": "one.safetensors", "b": "two.safetensors")");
  EXPECT_TRUE(mentions(complaint(), {"'a' is also in"}));
  write("model.safetensors.index.json", "{}");
  EXPECT_TRUE(mentions(complaint(), {"weight_map"}));
}

TEST_F(WeightStoreTest, SaysWhatAnEmptyFolderLacks) {
  EXPECT_TRUE(mentions(complaint(), {folder_, "model.safetensors"}));
}

}  // namespace
}  // namespace zeta::nn
