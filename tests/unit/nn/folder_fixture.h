// A scratch folder, and writers of small model files into it.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <string>

namespace zeta::nn {

class FolderTest : public ::testing::Test {
 protected:
  FolderTest() {
    std::string name = (std::filesystem::temp_directory_path() / "zeta-nn-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  ~FolderTest() override { std::filesystem::remove_all(folder_); }

  std::string path(const std::string& name) const { return folder_ + "/" + name; }

  void write(const std::string& name, const std::string& bytes) const {
    std::ofstream(path(name), std::ios::binary) << bytes;
  }

  void copy_folder(const std::string& from) const {
    using std::filesystem::copy_options;
    std::filesystem::copy(from, folder_, copy_options::recursive | copy_options::overwrite_existing);
  }

  // A safetensors file with this header and this many data bytes 0, 1, 2 …
  static std::string safetensors(const std::string& header, size_t data_size) {
    const uint64_t length = header.size();
    std::string file(reinterpret_cast<const char*>(&length), sizeof length);
    file += header;
    for (size_t i = 0; i < data_size; ++i) file.push_back(static_cast<char>(i));
    return file;
  }

  std::string folder_;
};

// Whether `text` holds every one of `parts`.
inline ::testing::AssertionResult mentions(const std::string& text,
                                           std::initializer_list<std::string> parts) {
  for (const std::string& part : parts) {
    if (text.find(part) == std::string::npos) {
      return ::testing::AssertionFailure() << "no '" << part << "' in '" << text << "'";
    }
  }
  return ::testing::AssertionSuccess();
}

// The message of the exception `E` that `action` throws; empty when it throws none.
template <typename E, typename Action>
std::string message_of(Action action) {
  try {
    action();
  } catch (const E& error) {
    return error.what();
  }
  return "";
}

}  // namespace zeta::nn
