// SPDX-License-Identifier: MIT
// Certificates made by tests, good and bad ones: keys exist in memory only. GnuTLS does it all.
#pragma once

#include <ctime>
#include <string>
#include <vector>

#include "tls/verify.hpp"

namespace postrider::test {

inline constexpr std::time_t kNow = 1790000000; // 2026-09-21
inline WallTime now() { return std::chrono::system_clock::from_time_t(kNow); }

struct Wanted {
  std::string common_name;            // raw bytes
  std::vector<std::string> dns_names; // raw bytes
  std::vector<std::string> addresses; // 4 or 16 bytes
  bool ca = false;
  int path_length = -1;
  std::time_t from = kNow - 86400;
  std::time_t until = kNow + 86400;
  std::vector<std::string> purposes{"1.3.6.1.5.5.7.3.1"}; // TLS server
  std::string name_constraints;                           // DER of the extension
  std::string unknown_critical;                           // DER of an extension nobody knows
  std::string digest = "SHA256";
  int rsa_bits = 0; // 0: a key on P-256
};

class Key { // shared by copies
 public:
  Key() = default;
  explicit Key(int rsa_bits);
  void* native() const { return native_.get(); }
  std::string public_der() const;
  std::string public_pem() const;
  std::string private_pem() const;

 private:
  std::shared_ptr<void> native_;
};

struct Cert {
  std::string der;
  Key key;
  std::string subject;
  std::string pem() const;
};

Cert self_signed(const Wanted& wanted);
// The same key as an earlier one may be asked for.
Cert issue(const Wanted& wanted, const Cert& issuer, const Key* key = nullptr);
Cert root(const std::string& name, std::time_t until = kNow + 86400);
Wanted host(const std::string& name);
Wanted authority(const std::string& name);

// DER of a NameConstraints extension with dNSName trees.
std::string constraints(const std::vector<std::string>& permitted,
                        const std::vector<std::string>& excluded);
std::string digest_of(const std::string& bytes, const std::string& algorithm); // raw
std::string to_hex(const std::string& bytes);

} // namespace postrider::test
