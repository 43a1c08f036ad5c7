// SPDX-License-Identifier: MIT
#include <algorithm>

#include "base/ascii.hpp"
#include "tls/fingerprint.hpp"
#include "tls/tlsa.hpp"
#include "tls/x509.hpp"

namespace postrider::tls {
namespace {

enum Usage : std::uint8_t { kTrustAnchor = 2, kEndEntity = 3 };
enum Selector : std::uint8_t { kWhole = 0, kKey = 1 };
enum Matching : std::uint8_t { kExact = 0, kSha256 = 1, kSha512 = 2 };

std::string_view digest_name(std::uint8_t matching) {
  return matching == kSha256 ? "sha256" : matching == kSha512 ? "sha512" : "";
}

// Where it stands among `digests`; the first is the strongest. Full data need no digest.
std::size_t rank(const TlsaRecord& record, const std::vector<std::string>& digests) {
  const auto found = std::find_if(digests.begin(), digests.end(), [&](const std::string& name) {
    return iequals(name, digest_name(record.matching));
  });
  return static_cast<std::size_t>(found - digests.begin());
}

bool is_usable(const TlsaRecord& record, const std::vector<std::string>& digests) {
  // PKIX-TA and PKIX-EE name roots that mail servers have no common list of (RFC 7672 3.1.3).
  if (record.usage != kTrustAnchor && record.usage != kEndEntity) return false;
  if (record.selector > kKey) return false;
  switch (record.matching) {
  case kExact:
    return record.selector == kWhole ? import_certificate(record.data).has_value()
                                     : import_public_key(record.data) != nullptr;
  case kSha256: return record.data.size() == 32 && rank(record, digests) < digests.size();
  case kSha512: return record.data.size() == 64 && rank(record, digests) < digests.size();
  default: return false;
  }
}

} // namespace

std::optional<TlsaRecord> parse_tlsa(std::string_view rdata) {
  if (rdata.size() < 4) return std::nullopt; // data of no bytes at all proves nothing
  TlsaRecord record;
  record.usage = static_cast<std::uint8_t>(rdata[0]);
  record.selector = static_cast<std::uint8_t>(rdata[1]);
  record.matching = static_cast<std::uint8_t>(rdata[2]);
  record.data = std::string(rdata.substr(3));
  return record;
}

std::vector<TlsaRecord> usable(const std::vector<TlsaRecord>& records,
                               const std::vector<std::string>& digests) {
  std::vector<TlsaRecord> good;
  for (const TlsaRecord& record : records)
    if (is_usable(record, digests)) good.push_back(record);
  std::vector<TlsaRecord> kept;
  for (const TlsaRecord& record : good) {
    const bool beaten = std::any_of(good.begin(), good.end(), [&](const TlsaRecord& other) {
      return record.matching != kExact && other.matching != kExact && other.usage == record.usage &&
             other.selector == record.selector && rank(other, digests) < rank(record, digests);
    });
    if (!beaten) kept.push_back(record);
  }
  return kept;
}

std::string to_string(const TlsaRecord& record) {
  constexpr std::size_t kShown = 32;
  std::string text = std::to_string(record.usage) + ' ' + std::to_string(record.selector) + ' ' +
                     std::to_string(record.matching) + ' ';
  for (std::size_t i = 0; i < record.data.size() && i < kShown; ++i) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    const auto byte = static_cast<unsigned char>(record.data[i]);
    text.push_back(kDigits[byte >> 4]);
    text.push_back(kDigits[byte & 15]);
  }
  return record.data.size() > kShown ? text + "..." : text;
}

bool is_full_anchor(const TlsaRecord& record) {
  return record.usage == kTrustAnchor && record.matching == kExact;
}

bool matches(const TlsaRecord& record, const Certificate& certificate) {
  const std::string_view bytes =
      record.selector == kWhole ? certificate.der : certificate.parts.public_key;
  if (record.matching == kExact) return record.data == bytes;
  const std::optional<std::string> digest = digest_of(bytes, digest_name(record.matching));
  return digest && *digest == record.data;
}

} // namespace postrider::tls
