// SPDX-License-Identifier: MIT
// What a server announced in its reply to EHLO or LHLO (RFC 5321 section 4.1.1.1). Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "smtp/reply.hpp"

namespace postrider::smtp {

struct Features {
  bool esmtp = false;           // EHLO or LHLO was accepted
  bool pipelining = false;      // RFC 2920
  bool eight_bit_mime = false;  // RFC 6152
  bool size = false;            // RFC 1870
  std::uint64_t size_limit = 0; // 0: none given
  bool dsn = false;             // RFC 3461
  bool smtputf8 = false;        // RFC 6531
  bool enhanced_status = false; // RFC 2034
  bool chunking = false;        // RFC 3030
  bool starttls = false;        // RFC 3207
  // RFC 4954: the mechanisms, blanks between. Absent: AUTH was not announced.
  std::optional<std::string> auth;
  std::string xforward; // the attributes it takes, blanks between (smtp/xforward.hpp)

  bool operator==(const Features&) const = default;
};

// Unknown and malformed lines are passed over. `discard` names keywords to overlook.
Features parse_features(const Reply& reply, const std::vector<std::string>& discard = {});
// First word behind the code of the reply's first line: the name of the server.
std::string_view first_word(const Reply& reply);

} // namespace postrider::smtp
