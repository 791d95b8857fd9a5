// The C header as it is declared: null and empty arguments, and who owns what.
#include <gtest/gtest.h>

#include <string>

#include "zeta_text.h"

namespace {

struct Error : zeta_text_string {
  Error() : zeta_text_string{} {}
  ~Error() { zeta_text_string_free(this); }
  std::string text() const { return {data, size}; }
};

TEST(RustAbi, RefusesNullsByName) {
  Error error;
  EXPECT_EQ(zeta_text_tokenizer_new("{}", 2, nullptr, &error), ZETA_TEXT_INVALID_ARGUMENT);
  EXPECT_EQ(error.text(), "out is null");

  Error no_handle;
  zeta_text_ids ids{};
  EXPECT_EQ(zeta_text_tokenizer_encode(nullptr, "", 0, false, &ids, &no_handle), ZETA_TEXT_INVALID_ARGUMENT);
  EXPECT_EQ(no_handle.text(), "tokenizer is null");
  EXPECT_EQ(ids.data, nullptr);

  Error no_messages;
  zeta_text_template* chat_template = nullptr;
  ASSERT_EQ(zeta_text_template_new(nullptr, 0, "{}", 2, &chat_template, nullptr), ZETA_TEXT_OK);
  zeta_text_string text{};
  EXPECT_EQ(zeta_text_template_render(chat_template, nullptr, 5, false, &text, &no_messages),
            ZETA_TEXT_INVALID_ARGUMENT);
  EXPECT_EQ(no_messages.text(), "messages is null, but its size is 5");
  zeta_text_template_free(chat_template);
}

TEST(RustAbi, NeedsNoErrorPointer) {
  zeta_text_tokenizer* tokenizer = nullptr;
  EXPECT_EQ(zeta_text_tokenizer_new(nullptr, 0, &tokenizer, nullptr), ZETA_TEXT_INVALID_ARGUMENT);
  EXPECT_EQ(tokenizer, nullptr);
}

TEST(RustAbi, FreesNull) {
  zeta_text_string_free(nullptr);
  zeta_text_ids_free(nullptr);
  zeta_text_tokenizer_free(nullptr);
  zeta_text_template_free(nullptr);
}

}  // namespace
