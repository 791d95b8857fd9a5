// Model repositories made for a test.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace zeta::serving {

// A folder that goes when the test ends.
class ModelFolder {
 public:
  ModelFolder() {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    path_ = std::filesystem::path(::testing::TempDir()) / test->test_suite_name() / test->name();
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~ModelFolder() { std::filesystem::remove_all(path_); }

  void write(const std::string& file, const std::string& text) const {
    std::filesystem::create_directories((path_ / file).parent_path());
    std::ofstream(path_ / file) << text;
  }
  // An echo model in Triton's layout.
  void write_echo(const std::string& name, const std::string& settings) const {
    write(name + "/config.pbtxt", "backend: \"echo\"\n");
    write(name + "/1/echo.json", settings);
  }
  std::string path(const std::string& file = "") const { return path_ / file; }

 private:
  std::filesystem::path path_;
};

}  // namespace zeta::serving
