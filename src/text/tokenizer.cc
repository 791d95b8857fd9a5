#include "src/text/tokenizer.h"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include "absl/strings/str_cat.h"
#include "src/text/model_file.h"
#include "src/text/rust_text.h"

namespace zeta::text {

namespace {

namespace json = boost::json;

struct FreeTokenizer {
  void operator()(zeta_text_tokenizer* tokenizer) const { zeta_text_tokenizer_free(tokenizer); }
};

struct Ids : zeta_text_ids {
  Ids() : zeta_text_ids{} {}
  Ids(const Ids&) = delete;
  Ids& operator=(const Ids&) = delete;
  ~Ids() { zeta_text_ids_free(this); }
};

// Of the vocabulary (an object whose keys are the tokens, or Unigram's list of pairs that begin with one) and
// of the added tokens. Byte-level vocabularies write a byte with one or two, hence never less than it is.
size_t longest_token(const json::value& tokenizer) {
  size_t longest = 1;
  const auto see = [&](size_t bytes) { longest = std::max(longest, bytes); };
  const json::value& vocabulary = tokenizer.at("model").at("vocab");
  if (const json::object* tokens = vocabulary.if_object()) {
    for (const auto& token : *tokens) see(token.key().size());
  } else {
    for (const json::value& pair : vocabulary.as_array()) see(pair.at(0).as_string().size());
  }
  const json::value* added = tokenizer.as_object().if_contains("added_tokens");
  if (added && added->is_array()) {
    for (const json::value& token : added->get_array()) see(token.at("content").as_string().size());
  }
  return longest;
}

}  // namespace

struct Tokenizer::Impl {
  std::unique_ptr<zeta_text_tokenizer, FreeTokenizer> handle;
  int32_t vocab_size = 0;
  size_t longest_token_bytes = 0;
};

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::~Tokenizer() = default;

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::load(const std::string& folder) {
  const std::string path = absl::StrCat(folder, "/tokenizer.json");
  absl::StatusOr<std::string> text = read_model_file(path);
  if (!text.ok()) return text.status();

  RustText error;
  zeta_text_tokenizer* handle = nullptr;
  zeta_text_status status = zeta_text_tokenizer_new(text->data(), text->size(), &handle, error.out());
  if (status != ZETA_TEXT_OK) return rust_failure(status, error, path);
  auto impl = std::make_unique<Impl>();
  impl->handle.reset(handle);
  status = zeta_text_tokenizer_vocab_size(handle, &impl->vocab_size, error.out());
  if (status != ZETA_TEXT_OK) return rust_failure(status, error, path);
  try {
    impl->longest_token_bytes = longest_token(json::parse(*text));
  } catch (const std::exception& failure) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": cannot read its vocabulary: ", failure.what()));
  }
  return std::unique_ptr<Tokenizer>(new Tokenizer(std::move(impl)));
}

absl::StatusOr<std::vector<int32_t>> Tokenizer::encode(std::string_view text, bool add_special_tokens) const {
  Ids ids;
  RustText error;
  const zeta_text_status status = zeta_text_tokenizer_encode(impl_->handle.get(), text.data(), text.size(),
                                                             add_special_tokens, &ids, error.out());
  if (status != ZETA_TEXT_OK) return rust_failure(status, error);
  return std::vector<int32_t>(ids.data, ids.data + ids.size);
}

absl::StatusOr<std::string> Tokenizer::decode(const std::vector<int32_t>& ids,
                                              bool skip_special_tokens) const {
  RustText text, error;
  const zeta_text_status status = zeta_text_tokenizer_decode(impl_->handle.get(), ids.data(), ids.size(),
                                                             skip_special_tokens, text.out(), error.out());
  if (status != ZETA_TEXT_OK) return rust_failure(status, error);
  return std::string(text.view());
}

int32_t Tokenizer::vocab_size() const { return impl_->vocab_size; }
size_t Tokenizer::longest_token_bytes() const { return impl_->longest_token_bytes; }

}  // namespace zeta::text
