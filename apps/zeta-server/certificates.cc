#include "apps/zeta-server/certificates.h"

#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/mman.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <memory>

#include "src/base/concat.h"

namespace zeta::server {
namespace {

using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;
using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;
using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

absl::StatusOr<std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (path.empty() || !file) return absl::InvalidArgumentError(concat("cannot read '", path, "'"));
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (file.bad()) return absl::InvalidArgumentError(concat("cannot read '", path, "'"));
  return text;
}

Bio open(const std::string& text) {
  return {BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), BIO_free};
}

Certificate parse_certificate(const std::string& text) {
  Certificate parsed(PEM_read_bio_X509(open(text).get(), nullptr, nullptr, nullptr), X509_free);
  ERR_clear_error();
  return parsed;
}

// Of a key with a password nothing: nobody is there to type it.
int refuse_password(char*, int, int, void*) { return -1; }

Key parse_key(const std::string& text) {
  Key parsed(PEM_read_bio_PrivateKey(open(text).get(), nullptr, refuse_password, nullptr), EVP_PKEY_free);
  ERR_clear_error();
  return parsed;
}

// A file in memory with that text, in the place of `descriptor` where that is one.
absl::Status replace(const std::string& text, int& descriptor) {
  const int made = memfd_create("zeta-tls", MFD_CLOEXEC);
  if (made < 0 || write(made, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    if (made >= 0) close(made);
    return absl::ResourceExhaustedError("there is no memory for a certificate");
  }
  if (descriptor < 0) {
    descriptor = made;
    return absl::OkStatus();
  }
  const bool replaced = dup3(made, descriptor, O_CLOEXEC) >= 0;
  close(made);
  return replaced ? absl::OkStatus() : absl::InternalError("a certificate cannot be put in place");
}

std::string name_of(int descriptor) { return concat("/proc/self/fd/", descriptor); }

}  // namespace

absl::StatusOr<TlsTexts> read_tls_files(const TlsFiles& files) {
  TlsTexts texts;
  const auto read = [&](const std::string& path, std::string& text) {
    auto content = read_file(path);
    if (!content.ok()) return content.status();
    text = *std::move(content);
    return absl::OkStatus();
  };
  absl::Status status = read(files.certificate, texts.certificate);
  if (status.ok()) status = read(files.key, texts.key);
  if (status.ok() && !files.client_authorities.empty()) {
    status = read(files.client_authorities, texts.client_authorities);
  }
  if (!status.ok()) return status;
  const Certificate certificate = parse_certificate(texts.certificate);
  const Key key = parse_key(texts.key);
  const auto invalid = [](const std::string& path, const char* why) {
    return absl::InvalidArgumentError(concat("'", path, "' ", why));
  };
  if (!certificate) return invalid(files.certificate, "holds no certificate in PEM format");
  if (!key) return invalid(files.key, "holds no private key in PEM format, or one with a password");
  const bool fits = X509_check_private_key(certificate.get(), key.get()) == 1;
  ERR_clear_error();
  if (!fits) return invalid(files.key, concat("is not the key of '", files.certificate, "'").c_str());
  if (!files.client_authorities.empty() && !parse_certificate(texts.client_authorities)) {
    return invalid(files.client_authorities, "holds no certificate in PEM format");
  }
  return texts;
}

WatchedTexts::WatchedTexts() = default;

WatchedTexts::~WatchedTexts() {
  if (identity_ >= 0) close(identity_);
  if (authorities_ >= 0) close(authorities_);
}

absl::Status WatchedTexts::publish(const TlsTexts& texts) {
  absl::Status status = replace(concat(texts.key, "\n", texts.certificate), identity_);
  if (status.ok()) status = replace(texts.client_authorities, authorities_);
  return status;
}

std::string WatchedTexts::identity() const { return name_of(identity_); }
std::string WatchedTexts::client_authorities() const { return name_of(authorities_); }

}  // namespace zeta::server
