// SPDX-License-Identifier: MIT
// What servers in front of us say of the client: the attributes of XCLIENT and XFORWARD, extensions
// of Postfix. Values are xtext; "[UNAVAILABLE]" is what is not known, "[TEMPUNAVAIL]" a name whose
// look-up failed for a time. Pure: whether the client may say it is the session's business.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "mail/envelope.hpp"
#include "peer.hpp"
#include "smtp/command.hpp"

namespace postrider::smtpd {

// As EHLO announces them.
inline constexpr std::string_view kXclientAttributes =
    "NAME ADDR PROTO HELO REVERSE_NAME PORT LOGIN DESTADDR DESTPORT";
inline constexpr std::string_view kXforwardAttributes = "NAME ADDR PROTO HELO SOURCE PORT IDENT";

struct ClientChange {
  Peer peer;        // the client as it is now, and then as it is from here on
  std::string helo; // empty: not told
  bool esmtp = false;
};

// Either changes what it is given, or returns what to answer and has changed nothing.
std::optional<smtp::Refusal> take_xclient(std::string_view arguments, ClientChange& change);
std::optional<smtp::Refusal> take_xforward(std::string_view arguments, mail::Forwarded& forwarded);

// "mx.example[192.0.2.1]", "mx.example" where the address is not known: for the log.
std::string shown(const mail::Forwarded& forwarded, bool with_port);

} // namespace postrider::smtpd
