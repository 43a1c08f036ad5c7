// SPDX-License-Identifier: MIT
// Trust is asked of GnuTLS, names and records are compared here. libgnutls-dane is not used: its
// dane_verify_crt_raw() looks for a trust anchor (usage 2) only in the second certificate of the
// chain, never above it, and checks neither names nor dates.
#include "tls/verify.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "tls/fingerprint.hpp"
#include "tls/names.hpp"
#include "tls/native.hpp"
#include "tls/tlsa.hpp"
#include "tls/x509.hpp"

namespace postrider::tls {
namespace {

// Whoever sends more than this cannot make us work more.
constexpr std::size_t kMaxChain = 16;
constexpr std::size_t kMaxBytes = 256 * 1024; // of the whole chain
constexpr int kMaxSignatures = 64;            // compared with bare keys
constexpr std::size_t kShownNames = 5;

using Chain = std::vector<Certificate>; // the server's own first; never empty
using Proof = Expectation::Proof;

// ---- names --------------------------------------------------------------------------------------

// The CommonName counts only when there is no dNSName (RFC 6125 section 6.4.4).
std::vector<std::string> names_in(const Certificate& certificate) {
  std::vector<std::string> names;
  for (const ByteView name : dns_names(certificate.parts.alt_names))
    names.emplace_back(name);
  return names.empty() ? common_names(certificate) : names;
}

std::optional<std::string> find_name(const Certificate& certificate,
                                     const std::vector<std::string>& expected) {
  for (const std::string& name : names_in(certificate))
    for (const std::string& wanted : expected)
      if (name_matches(wanted, name)) return name;
  return std::nullopt;
}

std::string no_name(const Certificate& certificate) {
  const std::vector<std::string> names = names_in(certificate);
  if (names.empty()) return "no name matches: the certificate has none";
  std::string text = "no name matches:";
  for (std::size_t i = 0; i < names.size() && i < kShownNames; ++i)
    text += ' ' + log::printable(std::string_view(names[i]).substr(0, 255));
  if (names.size() > kShownNames)
    text += " and " + std::to_string(names.size() - kShownNames) + " more";
  return text;
}

Verdict with_name(Verdict verdict, const Chain& chain, const Expectation& expectation) {
  if (!verdict.trusted) return verdict;
  if (const std::optional<std::string> name = find_name(chain.front(), expectation.names)) {
    verdict.verified = true;
    if (verdict.matched.empty()) verdict.matched = *name;
  } else {
    verdict.reason = no_name(chain.front());
  }
  return verdict;
}

// ---- anchors of our own, of a file or of TLSA records -------------------------------------------

// Anchors as the chain meets them: a list of certificates that end it, and whether a mere key has
// signed the server's own.
struct Anchored {
  TrustList roots = make_trust_list();
  bool any = false;
  bool directly = false;

  void add(const Certificate& certificate) {
    gnutls_x509_crt_t native = certificate.native.get();
    any = gnutls_x509_trust_list_add_cas(roots.get(), &native, 1, 0) > 0 || any;
  }
  // A key that stands above the chain has signed one of it.
  void add_signed_by(const Chain& chain, gnutls_pubkey_t key, WallTime now, int& signatures_left) {
    for (std::size_t i = 0; i < chain.size() && signatures_left > 0; ++i, --signatures_left) {
      if (!is_signed_by(chain[i], key)) continue;
      if (i == 0) directly = true;
      // Others are not the anchor, so their own time counts.
      else if (in_time(chain[i], now))
        add(chain[i]);
    }
  }
};

Verdict judge(const Anchored& anchored, const Chain& chain, const PathRules& rules) {
  Verdict verdict;
  std::optional<std::string> trouble = own_trouble(chain.front(), rules.now);
  if (!trouble && !anchored.directly) trouble = path_trouble(chain, anchored.roots.get(), rules);
  verdict.trusted = !trouble;
  if (trouble) verdict.reason = *trouble;
  return verdict;
}

Verdict by_anchors(const Chain& chain, const TrustAnchors::Native& anchors, PathRules rules) {
  rules.anchors_expire = false;
  Anchored anchored;
  for (const Certificate& anchor : anchors.certificates)
    anchored.add(anchor);
  int signatures_left = kMaxSignatures;
  for (std::size_t k = 0; k < anchors.keys.size(); ++k) {
    for (std::size_t i = 1; i < chain.size(); ++i)
      if (chain[i].parts.public_key == anchors.key_der[k]) anchored.add(chain[i]);
    anchored.add_signed_by(chain, anchors.keys[k].get(), rules.now, signatures_left);
  }
  return judge(anchored, chain, rules);
}

// ---- the proofs ---------------------------------------------------------------------------------

Verdict by_roots(const Chain& chain, const Expectation& expectation, const Credentials& credentials,
                 WallTime now) {
  const PathRules rules{expectation.depth, now, true, expectation.of_client};
  if (expectation.anchors) return by_anchors(chain, expectation.anchors->native(), rules);
  Verdict verdict;
  const std::optional<std::string> trouble = path_trouble(chain, credentials.native().roots, rules);
  verdict.trusted = !trouble;
  if (trouble) verdict.reason = *trouble;
  return verdict;
}

Verdict by_fingerprint(const Chain& chain, const Expectation& expectation) {
  Verdict verdict;
  const Result<std::string> of_certificate =
      certificate_fingerprint(chain.front().der, expectation.digest);
  const Result<std::string> of_key = public_key_fingerprint(chain.front().der, expectation.digest);
  if (!of_certificate || !of_key) {
    verdict.reason = (of_certificate ? of_key : of_certificate).error().text();
    return verdict;
  }
  for (const std::string& wanted : expectation.fingerprints)
    for (const std::string& found : {*of_certificate, *of_key})
      if (same_fingerprint(wanted, found)) {
        verdict.trusted = verdict.verified = true;
        verdict.matched = found;
        return verdict;
      }
  verdict.reason =
      "no fingerprint matches: certificate " + *of_certificate + ", public key " + *of_key;
  return verdict;
}

// RFC 7672 section 3.1: usage 3 proves all by itself, usage 2 makes a private root of the anchor.
Verdict by_dane(const Chain& chain, const Expectation& expectation, WallTime now) {
  Verdict verdict;
  for (const TlsaRecord& record : expectation.tlsa)
    if (record.usage == 3 && matches(record, chain.front())) {
      verdict.trusted = verdict.verified = true;
      verdict.matched = to_string(record);
      return verdict;
    }

  Anchored anchored;
  std::string matched;
  std::vector<Certificate> above; // owners of anchors that came in records
  int signatures_left = kMaxSignatures;
  bool any = false;
  for (const TlsaRecord& record : expectation.tlsa) {
    if (record.usage != 2) continue;
    any = true;
    bool helps = false;
    for (std::size_t i = 1; i < chain.size(); ++i)
      if (matches(record, chain[i])) anchored.add(chain[i]), helps = true;
    if (!helps && is_full_anchor(record)) {
      helps = true; // perhaps: the path tells
      if (record.selector == 1) {
        if (const PublicKey key = import_public_key(record.data))
          anchored.add_signed_by(chain, key.get(), now, signatures_left);
      } else if (std::optional<Certificate> anchor = import_certificate(record.data)) {
        above.push_back(std::move(*anchor));
        anchored.add(above.back());
      }
    }
    if (helps && matched.empty()) matched = to_string(record);
  }
  if (!any || (!anchored.any && !anchored.directly)) {
    verdict.reason = "no TLSA record matches";
    return verdict;
  }
  verdict = judge(anchored, chain, {expectation.depth, now, false, false});
  if (verdict.trusted) verdict.matched = matched;
  return with_name(std::move(verdict), chain, expectation);
}

} // namespace

Verdict verify(const std::vector<std::string>& presented, const Expectation& expectation,
               const Credentials& credentials, WallTime now) {
  Verdict verdict;
  verdict.verified = expectation.proof == Proof::none;
  std::size_t bytes = 0;
  Chain chain;
  for (const std::string& der : presented) {
    if (chain.size() == kMaxChain) break;
    if ((bytes += der.size()) > kMaxBytes) {
      verdict.reason = "certificates too large";
      return verdict;
    }
    std::optional<Certificate> certificate = import_certificate(der);
    if (!certificate) break;
    chain.push_back(std::move(*certificate));
  }
  if (chain.empty()) {
    verdict.anonymous = presented.empty();
    verdict.reason = presented.empty() ? "no certificate" : "bad certificate";
    return verdict;
  }
  switch (expectation.proof) {
  case Proof::none:
    verdict = by_roots(chain, expectation, credentials, now);
    verdict.verified = true;
    return verdict;
  case Proof::names:
    return with_name(by_roots(chain, expectation, credentials, now), chain, expectation);
  case Proof::fingerprint: return by_fingerprint(chain, expectation);
  case Proof::dane: return by_dane(chain, expectation, now);
  }
  return verdict;
}

} // namespace postrider::tls
