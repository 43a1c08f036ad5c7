// SPDX-License-Identifier: MIT
// A message as a program hands it in: lines with LF or CR LF on standard input, addresses in its
// headers (RFC 5322 section 3.4). Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "base/result.hpp"

namespace postrider::ctl {

// Puts lines together until the end; with `dot_ends`, a line of "." is the end too. The result has
// CR LF line ends, its last line included. A leading mbox line ("From user date") is dropped.
class MessageReader {
 public:
  explicit MessageReader(bool dot_ends) : dot_ends_(dot_ends) {}
  void feed(ByteView bytes);
  bool ended() const { return ended_; } // by the dot
  std::size_t size() const { return message_.size(); }
  std::string finish();

 private:
  void end_line(ByteView rest);

  std::string message_;
  std::string line_;
  bool dot_ends_;
  bool ended_ = false;
  bool first_ = true;
};

// Addresses of a list, in the form inside the suite (mail/address.hpp); a domain may be missing.
// "Name <a@b>, c@d (comment), group: e@f, g@h;". Error protocol names the bad piece.
Result<std::vector<std::string>> parse_address_list(std::string_view text);

struct Prepared {
  std::string message;
  std::vector<std::string> recipients; // of its headers, with -t
};

struct PrepareOptions {
  bool take_recipients = false; // -t: To, Cc, Bcc; or their Resent- forms when there are any
  std::string from;             // "Name <address>" for a message without From:; empty: leave it
};

// Removes Bcc: and Resent-Bcc:, takes recipients, adds From:.
Result<Prepared> prepare_message(std::string message, const PrepareOptions& options);

// A display name as it may stand before an address: quoted when it has to be; ASCII and UTF-8 as
// they are; control bytes become spaces.
std::string quote_display_name(std::string_view name);

} // namespace postrider::ctl
