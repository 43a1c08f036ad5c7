// SPDX-License-Identifier: MIT
// Keys of session tickets on a server. GnuTLS takes one key per connection, makes from it the keys
// of a time slot (three lives of a session long), and knows those of the slot before. So that a
// ticket of an older key of ours is opened too, the key is chosen by the name in front of the
// ticket, with which GnuTLS tells keys apart. Were that to change in GnuTLS, tickets of the older
// key would cost a full handshake; Tickets.OpenUnderTheseKeys says so. Inside lib/tls only. Pure.
#pragma once

#include <gnutls/gnutls.h>

#include <ctime>
#include <string>
#include <string_view>

namespace postrider::tls {

inline constexpr std::size_t kTicketKey = 64; // bytes
inline constexpr std::size_t kTicketKeyName = 16;

// The key for GnuTLS: whoever is somebody else, by `context` or by its certificates, has another.
std::string bind_ticket_key(std::string_view key, std::string_view context,
                            std::string_view credentials);
// From a ClientHello: what stands in front of its (first) ticket. Empty: there is none.
std::string ticket_key_name(const gnutls_datum_t& hello);
// Whether GnuTLS gives this name to tickets of the bound key, in this slot or in the one before.
bool has_name(std::string_view bound_key, std::string_view name, std::time_t now, unsigned life);

} // namespace postrider::tls
