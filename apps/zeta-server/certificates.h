// The certificate of a TLS port, which may be renewed while the server runs.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace zeta::server {

// Files in PEM format.
struct TlsFiles {
  std::string certificate;         // the server's, those that signed it behind it
  std::string key;                 // without a password
  std::string client_authorities;  // who may have signed a client's certificate; "": clients need none
};

// The texts of such files.
struct TlsTexts {
  std::string certificate, key, client_authorities;
};

// InvalidArgument names the file that cannot be read, is no certificate or key, or does not go with the
// other.
absl::StatusOr<TlsTexts> read_tls_files(const TlsFiles& files);

// Texts that a library which watches files reads from memory. Their names stay, their content changes in one
// step, and neither the key nor a copy of it touches a disk.
class WatchedTexts {
 public:
  WatchedTexts();
  ~WatchedTexts();
  WatchedTexts(const WatchedTexts&) = delete;
  WatchedTexts& operator=(const WatchedTexts&) = delete;

  absl::Status publish(const TlsTexts& texts);

  // To be read as files. One holds certificate and key, so that they change together.
  std::string identity() const;
  std::string client_authorities() const;

 private:
  int identity_ = -1, authorities_ = -1;  // descriptors
};

}  // namespace zeta::server
