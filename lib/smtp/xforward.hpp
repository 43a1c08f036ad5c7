// SPDX-License-Identifier: MIT
// XFORWARD, an extension of Postfix: tells a content filter behind the queue whom the mail came
// from, so that what the filter hands back is logged and judged as if it came from there. What our
// client has told of that by XFORWARD itself is passed on. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "mail/envelope.hpp"
#include "smtp/ehlo.hpp"

namespace postrider::smtp {

struct Origin {
  const mail::Envelope* envelope = nullptr; // REQUIRED
  std::string_view id;                      // of the message here
  bool local = false;                       // it came from this host
};

// The lines to send ahead of MAIL, CRLF included, in groups of 512 bytes at most: attributes that
// the server announced and whose values are known. Empty: nothing to say.
std::vector<std::string> xforward_commands(const Origin& origin, const Features& features);

} // namespace postrider::smtp
