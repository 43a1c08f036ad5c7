// SPDX-License-Identifier: MIT
#include "tls/tickets.hpp"

#include <gnutls/crypto.h>

#include <array>

#include "base/bytes.hpp"
#include "base/check.hpp"

namespace postrider::tls {

namespace {

constexpr unsigned kSessionTicket = 35; // RFC 5077
constexpr unsigned kPreSharedKey = 41;  // RFC 8446 section 4.2.11: u16 all, u16 length, identity
constexpr unsigned kLivesPerSlot = 3;

int note_ticket(void* into, unsigned type, const unsigned char* data, unsigned size) {
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (type == kPreSharedKey && size > 4)
    bytes.remove_prefix(4);
  else if (type != kSessionTicket)
    return 0;
  if (bytes.size() > kTicketKeyName)
    *static_cast<std::string*>(into) = bytes.substr(0, kTicketKeyName);
  return 0;
}

std::string name_in_slot(std::string_view bound_key, std::uint64_t slot) {
  std::string hashed;
  for (int shift = 56; shift >= 0; shift -= 8)
    hashed.push_back(static_cast<char>(slot >> shift));
  hashed += bound_key;
  std::array<char, 64> out{};
  if (gnutls_hash_fast(GNUTLS_DIG_SHA3_512, hashed.data(), hashed.size(), out.data()) < 0)
    return {};
  return std::string(out.data(), kTicketKeyName);
}

} // namespace

std::string bind_ticket_key(std::string_view key, std::string_view context,
                            std::string_view credentials) {
  std::string whom;
  put_le(whom, static_cast<std::uint64_t>(context.size()));
  whom.append(context).append(credentials);
  std::string out(kTicketKey, '\0');
  const int code = gnutls_hmac_fast(GNUTLS_MAC_SHA512, key.data(), key.size(), whom.data(),
                                    whom.size(), out.data());
  POSTRIDER_CHECK(code == 0, "SHA-512 is there");
  return out;
}

std::string ticket_key_name(const gnutls_datum_t& hello) {
  std::string name;
  (void)gnutls_ext_raw_parse(&name, note_ticket, &hello, GNUTLS_EXT_RAW_FLAG_TLS_CLIENT_HELLO);
  return name;
}

bool has_name(std::string_view bound_key, std::string_view name, std::time_t now, unsigned life) {
  if (life == 0 || now <= 0) return false;
  const std::uint64_t slot =
      static_cast<std::uint64_t>(now) / (std::uint64_t{life} * kLivesPerSlot);
  return name == name_in_slot(bound_key, slot) ||
         (slot > 0 && name == name_in_slot(bound_key, slot - 1));
}

} // namespace postrider::tls
