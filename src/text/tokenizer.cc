#include "src/text/tokenizer.h"

#include "absl/strings/str_cat.h"
#include "src/text/model_file.h"
#include "src/text/rust_text.h"

namespace zeta::text {

namespace {

struct FreeTokenizer {
  void operator()(zeta_text_tokenizer* tokenizer) const { zeta_text_tokenizer_free(tokenizer); }
};

struct Ids : zeta_text_ids {
  Ids() : zeta_text_ids{} {}
  Ids(const Ids&) = delete;
  Ids& operator=(const Ids&) = delete;
  ~Ids() { zeta_text_ids_free(this); }
};

}  // namespace

struct Tokenizer::Impl {
  std::unique_ptr<zeta_text_tokenizer, FreeTokenizer> handle;
  int32_t vocab_size = 0;
};

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::~Tokenizer() = default;

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::load(const std::string& folder) {
  const std::string path = absl::StrCat(folder, "/tokenizer.json");
  absl::StatusOr<std::string> json = read_model_file(path);
  if (!json.ok()) return json.status();

  RustText error;
  zeta_text_tokenizer* handle = nullptr;
  zeta_text_status status = zeta_text_tokenizer_new(json->data(), json->size(), &handle, error.out());
  if (status != ZETA_TEXT_OK) return rust_failure(status, error, path);
  auto impl = std::make_unique<Impl>();
  impl->handle.reset(handle);
  status = zeta_text_tokenizer_vocab_size(handle, &impl->vocab_size, error.out());
  if (status != ZETA_TEXT_OK) return rust_failure(status, error, path);
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

}  // namespace zeta::text
