// SPDX-License-Identifier: MIT
// Bytes about TLS: sessions and other entries of caches, certificates, PEM, tickets of a
// ClientHello, names in certificates.
#include <ctime>

#include "base/crc32c.hpp"
#include "entry.hpp" // of tlsmgr
#include "fuzz/target.hpp"
#include "tls/der.hpp"
#include "tls/names.hpp"
#include "tls/pem.hpp"
#include "tls/session_data.hpp"
#include "tls/tickets.hpp"
#include "tls/verify.hpp"

namespace {
using namespace postrider;

void session(ByteView input) {
  const std::string_view priority = "NORMAL", name = "mx.example";
  const auto data = tls::unpack_session(input, priority, name);
  POSTRIDER_CHECK(data.size() <= input.size());
  // With the mark and the checksum made right.
  std::string mended = "PRT1";
  put_le<std::uint32_t>(mended, crc32c(input));
  mended += input;
  (void)tls::unpack_session(mended, priority, name);
  const std::string packed = tls::pack_session(priority, name, input);
  if (!packed.empty()) POSTRIDER_CHECK(tls::unpack_session(packed, priority, name) == input);
}

void certificate(ByteView input) {
  ByteView rest = input;
  while (const auto element = tls::take_element(rest))
    POSTRIDER_CHECK(element->whole.size() >= element->content.size() + 2);
  if (const auto parts = tls::parse_certificate(input))
    for (const ByteView name : tls::dns_names(parts->alt_names))
      (void)tls::name_matches("mx.example.com", name);
  (void)tls::dns_names(input);
  (void)tls::names_of(input);
  (void)tls::certificate_fingerprint(input, "sha256").ok();
  (void)tls::public_key_fingerprint(input, "sha256").ok();
}

} // namespace

FUZZ(input) {
  const unsigned which = fuzz::take_byte(input);
  switch (which % 6) {
  case 0: return session(input);
  case 1: return certificate(input);
  case 2:
    for (const tls::PemBlock& block : tls::pem_blocks(input))
      POSTRIDER_CHECK(block.text.starts_with("-----BEGIN") && block.text.size() <= input.size());
    return;
  case 3: {
    const gnutls_datum_t hello{reinterpret_cast<unsigned char*>(const_cast<char*>(input.data())),
                               static_cast<unsigned>(input.size())};
    const std::string name = tls::ticket_key_name(hello);
    POSTRIDER_CHECK(name.empty() || name.size() == tls::kTicketKeyName);
    const std::string key = tls::bind_ticket_key("key", input, "credentials");
    POSTRIDER_CHECK(key.size() == tls::kTicketKey);
    POSTRIDER_CHECK(!tls::has_name(key, name, 1'700'000'000, 3600), "a name that nobody gave");
    POSTRIDER_CHECK(!tls::has_name(key, name, 1'700'000'000, 0));
    return;
  }
  case 4: {
    const std::size_t cut = std::min(input.size(), input.find(fuzz::kCut));
    const std::string_view presented = input.substr(std::min(input.size(), cut + 1));
    if (tls::name_matches(input.substr(0, cut), presented))
      POSTRIDER_CHECK(presented.find('\0') == presented.npos);
    return;
  }
  default: {
    const std::string entry(input.substr(0, tlsmgr::kEntryKey));
    const ByteView rest = input.substr(std::min(input.size(), tlsmgr::kEntryKey));
    (void)tlsmgr::unseal(entry, rest);
    if (entry.size() == tlsmgr::kEntryKey && entry[0] == 'e')
      POSTRIDER_CHECK(tlsmgr::unseal(entry, tlsmgr::seal(entry, rest)) == rest);
  }
  }
}
