// SPDX-License-Identifier: MIT
// Certificates and private keys of one side of TLS, and the roots it trusts. Read from files before
// the jail closes; immutable, shared by all handshakes. DSA is not supported.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace postrider::tls {

struct CredentialFiles {
  struct Pair {
    std::string cert; // PEM: the certificate, then those between it and the root
    std::string key;  // PEM, without pass phrase; may be the same file
    bool operator==(const Pair&) const = default;
  };
  std::vector<std::string> chain_files; // PEM: key, certificate, chain; again for other algorithms
  std::vector<Pair> pairs;              // RSA, ECDSA, Ed25519
  std::string ca_file;                  // PEM
  std::string ca_path;                  // directory of PEM files
  bool default_ca = false;              // the system's roots as well
  bool server = false;                  // for TlsStream::accept
  bool operator==(const CredentialFiles&) const = default;
};

class Credentials {
 public:
  // Blocks on the disk. Error config names the file, what is wrong with it and the remedy:
  // unreadable, no certificate, a key that belongs to another certificate, an encrypted key, DSA.
  // An expired certificate is only a warning in the log.
  static Result<std::shared_ptr<const Credentials>> load(const CredentialFiles& files);
  ~Credentials();

  bool has_certificate() const;
  // Tells apart whose certificates they are.
  const std::string& digest() const;
  struct Native; // gnutls types: native.hpp, in lib/tls only
  const Native& native() const { return *native_; }

 private:
  explicit Credentials(std::unique_ptr<Native> native);
  std::unique_ptr<Native> native_;
};

// Follows the files: when one has changed, a handshake that begins later has the new pair. A new
// pair that is no good, or that this process may not read, leaves the old one in use.
class CredentialSource {
 public:
  static Result<CredentialSource> open(CredentialFiles files);
  const std::shared_ptr<const Credentials>& current() const { return current_; }
  // Blocks on the disk: stat(2) of each file, those of a directory of roots included, and reading
  // when something changed. True: there is a new pair.
  // Error config: there would be; said once for each change. Call it now and then.
  Result<bool> refresh();

 private:
  CredentialFiles files_;
  std::shared_ptr<const Credentials> current_;
  std::string seen_; // times and sizes of the files
};

} // namespace postrider::tls
