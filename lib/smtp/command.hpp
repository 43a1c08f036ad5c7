// SPDX-License-Identifier: MIT
// SMTP command lines as a server reads them (RFC 5321 section 4.1; SIZE RFC 1870, BODY RFC 6152,
// DSN RFC 3461, SMTPUTF8 RFC 6531, CHUNKING RFC 3030). Grammar only: what is allowed when, and what
// was announced, is the session's business. Views point into the line given. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "mail/address.hpp"
#include "mail/envelope.hpp"

namespace postrider::smtp {

// RFC 5321 section 4.5.3.1.4 asks for 512 bytes; the extensions add up to about 1500 more.
inline constexpr std::size_t kMaxCommandLine = 2048;

enum class Verb : std::uint8_t {
  unknown,
  helo,
  ehlo,
  lhlo,
  mail,
  rcpt,
  data,
  bdat,
  rset,
  noop,
  quit,
  vrfy,
  expn,
  help,
  etrn,
  starttls,
  auth,
  xclient,
  xforward,
};

struct Command {
  Verb verb = Verb::unknown;
  std::string_view word;      // as written
  std::string_view arguments; // without blanks around them
};

// What to answer instead of 250.
struct Refusal {
  int code = 501;
  std::string dsn; // "5.5.4"
  std::string text;
};

// `line` without its CRLF. A line with a control character (NUL, a lone CR or LF, ESC ...; a tab
// is a blank) is Verb::unknown with an empty word.
Command parse_command(std::string_view line);

struct MailCommand {
  std::string sender;
  std::optional<std::uint64_t> size;
  mail::Body body = mail::Body::unset;
  mail::Ret ret = mail::Ret::unset;
  std::string envid;               // decoded
  std::optional<std::string> auth; // decoded; "<>" is the empty string
  bool smtputf8 = false;
};

struct RcptCommand {
  mail::Recipient recipient; // orcpt: type in lower case, ';', decoded address
};

struct BdatCommand {
  std::uint64_t size = 0;
  bool last = false;
};

// Each fills `out`, or returns what to answer. `arguments` is what stands behind the verb.
std::optional<Refusal> parse_mail(std::string_view arguments, MailCommand& out);
// `utf8`: the transaction's MAIL had SMTPUTF8.
std::optional<Refusal> parse_rcpt(std::string_view arguments, mail::Utf8 utf8, RcptCommand& out);
std::optional<Refusal> parse_bdat(std::string_view arguments, BdatCommand& out);
// The name behind HELO, EHLO or LHLO: any printable word of 255 bytes at most.
std::optional<Refusal> parse_helo(std::string_view arguments, std::string& name);

} // namespace postrider::smtp
