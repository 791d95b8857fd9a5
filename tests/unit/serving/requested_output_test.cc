#include "src/serving/requested_output.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <limits>

#include "src/serving/tensor.h"

namespace zeta::serving {
namespace {

template <class T>
Tensor make(DataType type, std::vector<int64_t> shape, const std::vector<T>& values) {
  std::string bytes(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
  return {"Y", type, std::move(shape), make_buffer(std::move(bytes))};
}

std::vector<std::string> classes(const Tensor& tensor, int64_t count, bool batched) {
  const auto classified = classify(tensor, count, batched);
  EXPECT_TRUE(classified.ok()) << classified.status();
  std::vector<std::string> texts;
  const auto elements = bytes_elements(*classified);
  for (const std::string_view text : *elements) texts.emplace_back(text);
  return texts;
}

using Texts = std::vector<std::string>;

TEST(Classify, HighestFirstAndLowerIndexAmongEquals) {
  EXPECT_EQ(classes(make<int32_t>(DataType::kInt32, {4}, {1, 9, -3, 9}), 3, false),
            (Texts{"9:1", "9:3", "1:0"}));
  EXPECT_EQ(classes(make<uint8_t>(DataType::kUint8, {2}, {255, 0}), 9, false), (Texts{"255:0", "0:1"}));
}

TEST(Classify, EachElementOfABatchByItself) {
  const Tensor tensor = make<float>(DataType::kFp32, {2, 3}, {1, 2, 0, 5, 4, 6});
  EXPECT_EQ(classes(tensor, 1, true), (Texts{"2.000000:1", "6.000000:2"}));
  EXPECT_EQ(classify(tensor, 2, true)->shape, (std::vector<int64_t>{2, 2}));
  EXPECT_EQ(classes(tensor, 1, false), Texts{"6.000000:5"});
}

TEST(Classify, LabelsWhereThereAreSome) {
  const Tensor tensor = make<int32_t>(DataType::kInt32, {3}, {1, 2, 3});
  const auto classified = classify(tensor, 3, false, {"cat", "dog"});
  const auto texts = *bytes_elements(*classified);
  EXPECT_EQ(Texts(texts.begin(), texts.end()), (Texts{"3:2", "2:1:dog", "1:0:cat"}));
}

TEST(Classify, NothingAndNotANumber) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(classes(make<float>(DataType::kFp32, {3}, {nan, -1, 2}), 2, false),
            (Texts{"2.000000:2", "-1.000000:1"}));
  EXPECT_TRUE(classes(make<float>(DataType::kFp32, {0, 3}, {}), 2, true).empty());
  EXPECT_TRUE(absl::IsInvalidArgument(classify(bytes_tensor("Y", {"a"}), 1, false).status()));
}

TEST(DeliverOutputs, ThoseThatAreAskedForInTheModelsOrder) {
  std::vector<Tensor> outputs{bytes_tensor("A", {"a"}), bytes_tensor("B", {"b"}), bytes_tensor("C", {"c"})};
  const auto all = deliver_outputs({}, {}, outputs);
  EXPECT_EQ(all->size(), 3u);
  const std::vector<RequestedOutput> requested{{"C", 0, {}, {}}, {"A", 0, {}, {}}, {"A", 0, {}, {}}};
  const auto some = deliver_outputs({}, requested, outputs);
  ASSERT_EQ(some->size(), 2u);
  EXPECT_EQ((*some)[0].tensor.name, "A");
  EXPECT_EQ((*some)[1].tensor.name, "C");
}

TEST(DeliverOutputs, SharedMemoryThatIsTooSmallIsNotWritten) {
  const int object = memfd_create("test", 0);
  ASSERT_EQ(ftruncate(object, 8), 0);
  const auto memory = system_memory(object);
  RequestedOutput request{"A", 0, OutputTarget{"r", 0, {memory, 0, 7}}, {}};
  const auto refused = deliver_outputs({}, {request}, {bytes_tensor("A", {"four"})});
  EXPECT_TRUE(absl::IsInternal(refused.status()));
  const SharedMemoryRange all(memory, 0, 8);
  EXPECT_EQ(all.read()->data[4], std::byte{0});
  request.target->range = all;
  const auto delivered = deliver_outputs({}, {request}, {bytes_tensor("A", {"four"})});
  ASSERT_TRUE(delivered.ok());
  EXPECT_EQ(delivered->front().byte_size, 8u);
  EXPECT_EQ(delivered->front().tensor.data.size, 0u);
  EXPECT_EQ(all.read()->data[4], std::byte{'f'});
}

}  // namespace
}  // namespace zeta::serving
