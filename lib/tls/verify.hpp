// SPDX-License-Identifier: MIT
// What a peer's certificates prove. Pure but for the time of day, which the caller gives.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "tls/credentials.hpp"

namespace postrider::tls {

// RFC 6698 section 2.1. Only what RFC 7672 section 3.1 allows counts: usages 2 and 3.
struct TlsaRecord {
  std::uint8_t usage = 0;
  std::uint8_t selector = 0;
  std::uint8_t matching = 0;
  std::string data;
  bool operator==(const TlsaRecord&) const = default;
};
// From rdata; empty: not a TLSA record.
std::optional<TlsaRecord> parse_tlsa(std::string_view rdata);
// The records that can be used: usage 2 or 3, known selector, a digest of the list (the strongest
// first) or whole data that make sense, data of the right length; of those with the same usage and
// selector only the ones with the strongest digest (RFC 7671 section 9).
std::vector<TlsaRecord> usable(const std::vector<TlsaRecord>& records,
                               const std::vector<std::string>& digests);
std::string to_string(const TlsaRecord& record); // "3 1 1 0123ab...", cut where it gets long

class TrustAnchors { // tafile=: certificates or public keys, trusted wherever they stand in a chain
 public:
  // PEM. Blocks on the disk. Error config names the file.
  static Result<std::shared_ptr<const TrustAnchors>> load(const std::vector<std::string>& files);
  ~TrustAnchors();
  struct Native;
  const Native& native() const { return *native_; }

 private:
  explicit TrustAnchors(std::unique_ptr<Native> native);
  std::unique_ptr<Native> native_;
};

struct Expectation {
  enum class Proof : std::uint8_t {
    none,        // any certificate will do; trust is still looked at, for the log
    names,       // a trusted chain and one of `names`
    fingerprint, // one of `fingerprints`, of the certificate or its public key
    dane,        // one of `tlsa`; with usage 2 also one of `names`
  };
  Proof proof = Proof::none;
  std::vector<std::string> names; // "mx.example.com" (wildcards in the certificate count), or
                                  // ".example.com": any name below
  std::vector<std::string> fingerprints; // hex, colons optional, any case
  std::string digest = "sha256";
  std::vector<TlsaRecord> tlsa;                // usable() ones
  std::shared_ptr<const TrustAnchors> anchors; // in place of the roots of the credentials
  int depth = 9;          // how many steps from the peer's certificate to the root
  bool of_client = false; // the peer is a client: its certificate has another purpose
};

inline constexpr std::string_view kExpired = "certificate has expired";

struct Verdict {
  bool trusted = false;   // a chain up to a root
  bool verified = false;  // all that was expected
  bool anonymous = false; // there was no certificate
  // Why not trusted, else why not verified, in Postfix's words: kExpired,
  // "self-signed certificate", "untrusted issuer /C=XX/CN=Root", "no name matches:
  // mx.other.example"
  std::string reason;
  std::string matched; // the name, fingerprint or TLSA record that did it: for the log
};

// `chain` is DER, the server's own first. Bounded work whatever is in it: long chains, many names.
Verdict verify(const std::vector<std::string>& chain, const Expectation& expectation,
               const Credentials& credentials, WallTime now);

struct CertificateNames {
  std::string subject; // CommonName; of an issuer without one its organization. Printable.
  std::string issuer;
};
// Of DER. Empty where there is nothing.
CertificateNames names_of(std::string_view der);

// Of DER: "AB:CD:...", as Postfix shows them. Error config: no such digest.
Result<std::string> certificate_fingerprint(std::string_view der, std::string_view digest);
Result<std::string> public_key_fingerprint(std::string_view der, std::string_view digest);

} // namespace postrider::tls
