// Golden data of the text part; tests/golden/make_text.py says what is in it.
#pragma once

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <boost/json/value_to.hpp>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "src/text/tokenizer.h"

namespace zeta::text {

inline std::string golden_path(const std::string& name) { return ZETA_GOLDEN_DIR "/text/" + name; }

inline std::string golden_file(const std::string& name) {
  std::ifstream file(golden_path(name), std::ios::binary);
  EXPECT_TRUE(file) << golden_path(name);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline boost::json::value golden_json(const std::string& name) {
  return boost::json::parse(golden_file(name));
}

inline std::unique_ptr<Tokenizer> golden_tokenizer(const std::string& name) {
  auto tokenizer = Tokenizer::load(golden_path(name));
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return tokenizer.ok() ? *std::move(tokenizer) : nullptr;
}

}  // namespace zeta::text
