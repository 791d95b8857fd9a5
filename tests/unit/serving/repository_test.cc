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
  EXPECT_EQ(models->at(0).name, "a");
  EXPECT_EQ(models->at(0).config.backend(), "zeta");
  EXPECT_EQ(models->at(1).versions, (std::map<int64_t, std::string>{{10, folder.path("b/10")}}));
  EXPECT_EQ(models->at(1).config.backend(), "echo");
}

TEST(Repository, AHuggingFaceFolderIsAModelOfItsOwn) {
  const ModelFolder folder;
  folder.write("llama/config.json", "{}");
  const auto model = describe_model("", folder.path("llama/"));
  ASSERT_TRUE(model.status.ok()) << model.status;
  EXPECT_EQ(model.name, "llama");
  EXPECT_EQ(model.versions, (std::map<int64_t, std::string>{{1, folder.path("llama/")}}));
  EXPECT_EQ(model.config.backend(), "zeta");
  EXPECT_EQ(describe_model("chat", folder.path("llama")).name, "chat");
}

TEST(Repository, SaysWhyAModelCannotBeLoaded) {
  const ModelFolder folder;
  const auto refusal = [&](const std::string& name) {
    return std::string(describe_model("", folder.path(name)).status.message());
  };
  folder.write("nothing/x", "");
  folder.write("nobackend/1/weights", "");
  folder.write("othername/config.pbtxt", "name: \"x\"\nbackend: \"echo\"");
  folder.write("othername/1/echo.json", "{}");
  EXPECT_NE(refusal("absent").find("no such folder"), std::string::npos);
  EXPECT_NE(refusal("nothing").find("expected config.json"), std::string::npos);
  EXPECT_NE(refusal("nobackend").find("cannot tell the backend"), std::string::npos);
  EXPECT_NE(refusal("othername").find("unexpected directory name 'othername' for model 'x'"),
            std::string::npos);
  folder.write("typo/config.pbtxt", "backend: echo");
  folder.write("typo/1/echo.json", "{}");
  EXPECT_EQ(refusal("typo"), "failed to read text proto from " + folder.path("typo/config.pbtxt") +
                                 ": line 1, column 10: Expected string, got: echo");
  folder.write("typo/model.conf", "");
  EXPECT_NE(refusal("typo").find("holds both config.pbtxt and model.conf"), std::string::npos);
  folder.write("platform/config.pbtxt", "platform: \"onnxruntime_onnx\"");
  folder.write("platform/1/model.onnx", "");
  EXPECT_EQ(refusal("platform"),
            "unexpected platform type 'onnxruntime_onnx' for platform; expected one of "
            "pytorch_libtorch, torch_aoti, ensemble");
  folder.write("cache/config.pbtxt", "backend: \"echo\" model_operations { }");
  folder.write("cache/1/echo.json", "{}");
  EXPECT_EQ(refusal("cache"), "model 'cache': model_operations is not supported");
}

std::string versions_of(const ModelFolder& folder, const std::string& policy) {
  folder.write("m/config.pbtxt", "backend: \"echo\" " + policy);
  std::string list;
  for (const auto& [version, path] : describe_model("", folder.path("m")).versions)
    list += std::to_string(version) + " ";
  return list;
}

TEST(Repository, VersionPolicyChoosesTheVersions) {
  const ModelFolder folder;
  for (const char* version : {"1", "3", "20"}) folder.write(std::string("m/") + version + "/echo.json", "{}");
  EXPECT_EQ(versions_of(folder, ""), "20 ");
  EXPECT_EQ(versions_of(folder, "version_policy { latest { num_versions: 2 } }"), "3 20 ");
  EXPECT_EQ(versions_of(folder, "version_policy { all { } }"), "1 3 20 ");
  EXPECT_EQ(versions_of(folder, "version_policy { specific { versions: [1, 3, 4] } }"), "1 3 ");
  EXPECT_EQ(versions_of(folder, "version_policy { latest { } }"), "");
}

TEST(Repository, ModelConfIsTheSameFile) {
  const ModelFolder folder;
  folder.write("m/model.conf",
               "platform: \"pytorch_libtorch\" max_batch_size: 128 optimization { cuda { graphs: true } }");
  folder.write("m/1/model.pt", "");
  const auto model = describe_model("", folder.path("m"));
  ASSERT_TRUE(model.status.ok()) << model.status;
  EXPECT_EQ(model.config.max_batch_size(), 128);
  EXPECT_EQ(model.config.backend(), "pytorch");
}

TEST(Repository, TheVersionFolderTellsTheBackendOfAModelWithoutConfiguration) {
  const ModelFolder folder;
  folder.write("script/1/model.pt", "");
  folder.write("package/1/model.pt2", "");
  EXPECT_EQ(describe_model("", folder.path("script")).config.platform(), "pytorch_libtorch");
  EXPECT_EQ(describe_model("", folder.path("package")).config.platform(), "torch_aoti");
  EXPECT_EQ(describe_model("", folder.path("package")).config.default_model_filename(), "model.pt2");
}

TEST(Repository, OverridesStandInForTheFiles) {
  const ModelFolder folder;
  folder.write_echo("m", "{}");
  LoadOverrides overrides;
  overrides.files["1/echo.json"] = R"({"kind": "repeat"})";
  EXPECT_NE(std::string(describe_model("m", folder.path("m"), overrides).status.message()).find("'config'"),
            std::string::npos);
  overrides.config_json = R"({"backend": "echo", "max_batch_size": 3})";
  std::string path;
  {
    const auto model = describe_model("m", folder.path("m"), overrides);
    ASSERT_TRUE(model.status.ok()) << model.status;
    EXPECT_EQ(model.config.max_batch_size(), 3);
    path = model.versions.at(1);
    EXPECT_TRUE(std::filesystem::exists(path + "/echo.json"));
    EXPECT_FALSE(path.starts_with(folder.path()));
  }
  EXPECT_FALSE(std::filesystem::exists(path)) << "gone with the description";
  for (const char* escape : {"../x", "/tmp/x", "1/../../x", ""}) {
    overrides.files = {{escape, "x"}};
    EXPECT_NE(std::string(describe_model("m", folder.path("m"), overrides).status.message()).find("inside"),
              std::string::npos)
        << escape;
  }
}

TEST(Repository, AFingerprintChangesWithTheFiles) {
  const ModelFolder folder;
  folder.write_echo("m", "{}");
  const auto fingerprint = [&] { return describe_model("", folder.path("m")).fingerprint; };
  const std::string before = fingerprint();
  EXPECT_EQ(fingerprint(), before);
  folder.write("m/1/echo.json", "{ }");
  const std::string written = fingerprint();
  EXPECT_NE(written, before);
  folder.write("m/2/echo.json", "{}");
  EXPECT_NE(fingerprint(), written);
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
