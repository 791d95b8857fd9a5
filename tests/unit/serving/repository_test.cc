#include "src/serving/repository.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "tests/unit/serving/model_folder.h"

namespace zeta::serving {
namespace {

TEST(Repository, FindsModelsAndTheirHighestVersion) {
  const ModelFolder folder;
  folder.write_echo("b", "{}");
  folder.write("b/10/echo.json", "{}");
  folder.write("b/9/echo.json", "{}");
  folder.write("b/011/echo.json", "{}");
  folder.write("a/1/config.json", "{}");
  folder.write(".hidden/1/config.json", "{}");
  folder.write("README", "not a model");
  const auto models = scan_repository(folder.path());
  ASSERT_TRUE(models.ok()) << models.status();
  ASSERT_EQ(models->size(), 2u);
  EXPECT_EQ(models->at(0).source.name, "a");
  EXPECT_EQ(models->at(0).backend, "zeta");
  EXPECT_EQ(models->at(1).source.version, "10");
  EXPECT_EQ(models->at(1).source.folder, folder.path("b/10"));
  EXPECT_EQ(models->at(1).backend, "echo");
}

TEST(Repository, AHuggingFaceFolderIsAModelOfItsOwn) {
  const ModelFolder folder;
  folder.write("llama/config.json", "{}");
  const auto model = describe_model("", folder.path("llama/"));
  ASSERT_TRUE(model.status.ok()) << model.status;
  EXPECT_EQ(model.source.name, "llama");
  EXPECT_EQ(model.source.version, "1");
  EXPECT_EQ(model.backend, "zeta");
  EXPECT_EQ(describe_model("chat", folder.path("llama")).source.name, "chat");
}

TEST(Repository, SaysWhyAModelCannotBeLoaded) {
  const ModelFolder folder;
  const auto refusal = [&](const std::string& name) {
    return std::string(describe_model("", folder.path(name)).status.message());
  };
  folder.write("nothing/x", "");
  folder.write("nobackend/1/model.pt", "");
  folder.write("othername/config.pbtxt", "name: \"x\"\nbackend: \"echo\"");
  folder.write("othername/1/echo.json", "{}");
  EXPECT_NE(refusal("absent").find("no such folder"), std::string::npos);
  EXPECT_NE(refusal("nothing").find("expected config.json"), std::string::npos);
  EXPECT_NE(refusal("nobackend").find("cannot tell the backend"), std::string::npos);
  EXPECT_NE(refusal("othername").find("expected the folder's name 'othername'"), std::string::npos);
  folder.write("typo/config.pbtxt", "backend: echo");
  folder.write("typo/1/echo.json", "{}");
  EXPECT_TRUE(refusal("typo").starts_with(folder.path("typo/config.pbtxt") + " line 1: expected backend"));
}

TEST(Repository, AFolderThatCannotBeReadIsNotCalledEmpty) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may read everything";
  const ModelFolder folder;
  folder.write("closed/config.json", "{}");
  std::filesystem::permissions(folder.path("closed"), std::filesystem::perms::none);
  const auto model = describe_model("", folder.path("closed"));
  std::filesystem::permissions(folder.path("closed"), std::filesystem::perms::owner_all);
  EXPECT_EQ(model.status.message(), "cannot read " + folder.path("closed") + ": Permission denied");
}

TEST(Repository, NamesAFolderThatIsNotThere) {
  const auto models = scan_repository("/no/such/repository");
  EXPECT_EQ(models.status().code(), absl::StatusCode::kNotFound);
  EXPECT_NE(std::string(models.status().message()).find("'/no/such/repository'"), std::string::npos);
}

}  // namespace
}  // namespace zeta::serving
