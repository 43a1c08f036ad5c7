// SPDX-License-Identifier: MIT
// The commands of RFC 5321 and what is special about each: one row per verb. Pure data.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "smtp/command.hpp"

namespace postrider::smtpd {

struct CommandRow {
  smtp::Verb verb;
  std::string_view log_name;   // in "disconnect from ... mail=1"
  std::string_view reply_name; // in replies and in "lost connection after MAIL"
  // Ends a group (RFC 2920 section 3.1): nothing may be sent behind it before its reply has come.
  // The RFC names VRFY, EXPN, QUIT and NOOP as well; there it does no harm and is let pass.
  bool ends_group = false;
  // Does no work for mail: many of these count as errors (smtpd_junk_command_limit).
  bool junk = false;
  // Accepted with arguments?
  bool takes_arguments = true;
  // Also where TLS is a must and has not begun (RFC 3207 section 4). BDAT has no transaction there,
  // but octets behind it that have to be skipped.
  bool before_tls = false;
};

// In the order in which "disconnect from" lists them.
inline constexpr std::array<CommandRow, 19> kCommands{{
    {smtp::Verb::helo, "helo", "HELO", true, true},
    {smtp::Verb::ehlo, "ehlo", "EHLO", true, true, true, true},
    {smtp::Verb::lhlo, "lhlo", "LHLO", false, true},
    {smtp::Verb::starttls, "starttls", "STARTTLS", true, true, false, true},
    {smtp::Verb::auth, "auth", "AUTH", true, true},
    {smtp::Verb::mail, "mail", "MAIL"},
    {smtp::Verb::rcpt, "rcpt", "RCPT"},
    {smtp::Verb::data, "data", "DATA", true, false, false},
    {smtp::Verb::bdat, "bdat", "BDAT", false, false, true, true},
    {smtp::Verb::rset, "rset", "RSET", false, true, false},
    {smtp::Verb::noop, "noop", "NOOP", false, true, true, true},
    {smtp::Verb::vrfy, "vrfy", "VRFY", false, true},
    {smtp::Verb::expn, "expn", "EXPN", false, true},
    {smtp::Verb::help, "help", "HELP", false, true},
    {smtp::Verb::etrn, "etrn", "ETRN", false, true},
    {smtp::Verb::quit, "quit", "QUIT", false, false, false, true},
    {smtp::Verb::xclient, "xclient", "XCLIENT", true, true, true, true},
    {smtp::Verb::xforward, "xforward", "XFORWARD", false, true},
    {smtp::Verb::unknown, "unknown", "UNKNOWN", false, true, true, true},
}};

constexpr std::size_t row_of(smtp::Verb verb) {
  for (std::size_t i = 0; i < kCommands.size(); ++i)
    if (kCommands[i].verb == verb) return i;
  return kCommands.size() - 1;
}

// How many of each command came in one session, and how many of these succeeded.
class CommandCount {
 public:
  void add(smtp::Verb verb, bool ok);
  // "ehlo=1 mail=1 rcpt=0/1 commands=2/3"
  std::string text() const;

 private:
  struct Pair {
    std::uint32_t ok = 0, all = 0;
  };
  std::array<Pair, kCommands.size()> pairs_{};
};

} // namespace postrider::smtpd
