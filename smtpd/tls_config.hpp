// SPDX-License-Identifier: MIT
// What main.cf says of TLS with clients (smtpd_tls_*), and the certificates it names. Loaded before
// the jail closes: private keys are readable for root alone, as a rule.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "tls/credentials.hpp"

namespace postrider::config {
class Settings;
}

namespace postrider::smtpd {

enum class TlsLevel : std::uint8_t {
  none,
  may,     // STARTTLS is offered
  encrypt, // nothing else is taken before it
};

// The certificates of one service. Copies share what was read.
class Certificates {
 public:
  // Of clients that ask for no name, or for one that is not in `named`.
  struct Files {
    tls::CredentialFiles own;
    // By what stands in tls_server_sni_maps: "mx.example", or ".example" for any name below.
    std::map<std::string, tls::CredentialFiles, std::less<>> named;
  };
  // Blocks on the disk. Error config names the file; with the errno of reading it, if it was that.
  static Result<std::shared_ptr<Certificates>> open(const Files& files);

  const std::shared_ptr<const tls::Credentials>& own() const { return own_.current(); }
  // Null: nothing is known of this name.
  std::shared_ptr<const tls::Credentials> of(std::string_view name) const;
  // Blocks on the disk. Reads what has changed, as CredentialSource::refresh(); says what is no
  // good and stays as it was.
  std::vector<std::string> refresh();

 private:
  tls::CredentialSource own_;
  std::map<std::string, tls::CredentialSource, std::less<>> named_;
};

struct TlsConfig {
  TlsLevel level = TlsLevel::none;
  bool wrapper = false; // TLS from the first byte on; level is encrypt then
  bool ask_certificate = false;
  bool require_certificate = false;
  bool received_header = false;
  int loglevel = 0;
  int verify_depth = 9;
  std::string digest = "sha256"; // of fingerprints
  std::string priority;          // GnuTLS's
  Duration handshake_limit = std::chrono::seconds(300);
  Duration session_life = std::chrono::seconds(3600); // 0: sessions are not resumed
  std::shared_ptr<Certificates> certificates;         // null at level none, and in trouble
  // What is wrong with a certificate's files. At a start mail goes on without TLS, which is refused
  // as a local problem; at a reload what was read before stays.
  std::optional<Error> trouble;
  bool read_as_root = false;
};

// Blocks on the disk. Error config names the parameter. Processes of this host
// (smtpd_local_submission) are not offered TLS.
Result<TlsConfig> load_tls(const config::Settings& settings);

} // namespace postrider::smtpd
