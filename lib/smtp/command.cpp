// SPDX-License-Identifier: MIT
#include "smtp/command.hpp"

#include <array>
#include <utility>

#include "base/ascii.hpp"
#include "smtp/xtext.hpp"

namespace postrider::smtp {
namespace {

constexpr std::array<std::pair<std::string_view, Verb>, 18> kVerbs{{
    {"HELO", Verb::helo},
    {"EHLO", Verb::ehlo},
    {"LHLO", Verb::lhlo},
    {"MAIL", Verb::mail},
    {"RCPT", Verb::rcpt},
    {"DATA", Verb::data},
    {"BDAT", Verb::bdat},
    {"RSET", Verb::rset},
    {"NOOP", Verb::noop},
    {"QUIT", Verb::quit},
    {"VRFY", Verb::vrfy},
    {"EXPN", Verb::expn},
    {"HELP", Verb::help},
    {"ETRN", Verb::etrn},
    {"STARTTLS", Verb::starttls},
    {"AUTH", Verb::auth},
    {"XCLIENT", Verb::xclient},
    {"XFORWARD", Verb::xforward},
}};

// RFC 3461 sections 4.4 and 4.2: at most 100 characters of ENVID, 500 of ORCPT, before decoding.
constexpr std::size_t kMaxEnvid = 100;
constexpr std::size_t kMaxOrcpt = 500;

Refusal syntax(std::string text, std::string dsn = "5.5.4") {
  return Refusal{501, std::move(dsn), std::move(text)};
}
Refusal not_recognized(std::string_view what) {
  return Refusal{555, "5.5.4", "Unsupported option: " + std::string(what.substr(0, 100))};
}

struct Parameter {
  std::string_view name;
  std::string_view value;
  bool has_value = false;
};

// Takes the next "name[=value]" off `rest`; false at the end.
bool next_parameter(std::string_view& rest, Parameter& out) {
  rest = trim(rest);
  if (rest.empty()) return false;
  const std::string_view word = rest.substr(0, rest.find_first_of(" \t"));
  rest.remove_prefix(word.size());
  const std::size_t equals = word.find('=');
  out = {word.substr(0, equals), {}, equals != std::string_view::npos};
  if (out.has_value) out.value = word.substr(equals + 1);
  return true;
}

// "FROM:" or "TO:" and the path; `rest` is what follows it.
std::optional<Refusal> take_path(std::string_view& rest, std::string_view keyword, mail::Utf8 utf8,
                                 std::string& address, std::string_view bad_address_dsn) {
  if (!istarts_with(rest, keyword)) return syntax("Syntax: " + std::string(keyword) + "<address>");
  rest = trim(rest.substr(keyword.size()));
  if (rest.empty()) return syntax("Syntax: " + std::string(keyword) + "<address>");
  auto path = mail::parse_path(rest, utf8);
  if (!path)
    return Refusal{501, std::string(bad_address_dsn), "Bad address syntax: " + path.error().text()};
  rest.remove_prefix(path->length);
  if (!rest.empty() && !is_space(rest.front()))
    return Refusal{501, std::string(bad_address_dsn),
                   "Bad address syntax: text behind the address"};
  address = std::move(path->address);
  return std::nullopt;
}

std::optional<Refusal> mail_parameter(const Parameter& p, MailCommand& out) {
  if (iequals(p.name, "SIZE")) {
    const auto size = parse_decimal(p.value);
    if (!size) return syntax("Bad message size syntax");
    out.size = *size;
  } else if (iequals(p.name, "BODY")) {
    if (iequals(p.value, "7BIT"))
      out.body = mail::Body::seven_bit;
    else if (iequals(p.value, "8BITMIME"))
      out.body = mail::Body::eight_bit_mime;
    else
      return not_recognized("BODY=" + std::string(p.value));
  } else if (iequals(p.name, "RET")) {
    if (out.ret != mail::Ret::unset) return syntax("Duplicate RET parameter");
    if (iequals(p.value, "FULL"))
      out.ret = mail::Ret::full;
    else if (iequals(p.value, "HDRS"))
      out.ret = mail::Ret::hdrs;
    else
      return syntax("Bad RET parameter syntax");
  } else if (iequals(p.name, "ENVID")) {
    if (!out.envid.empty()) return syntax("Duplicate ENVID parameter");
    auto envid = from_xtext(p.value);
    if (!envid || envid->empty() || p.value.size() > kMaxEnvid || !is_ascii(*envid))
      return syntax("Bad ENVID parameter syntax");
    out.envid = std::move(*envid);
  } else if (iequals(p.name, "AUTH")) {
    auto auth = from_xtext(p.value);
    if (!auth || auth->empty() || out.auth) return syntax("Bad AUTH parameter syntax");
    out.auth = *auth == "<>" ? std::string() : std::move(*auth);
  } else if (iequals(p.name, "SMTPUTF8")) {
    if (p.has_value) return syntax("Bad SMTPUTF8 parameter syntax");
    out.smtputf8 = true;
  } else {
    return not_recognized(p.name);
  }
  return std::nullopt;
}

std::optional<Refusal> notify_parameter(std::string_view value, std::uint8_t& notify) {
  if (notify != 0) return syntax("Duplicate NOTIFY parameter");
  const auto bad = [] { return syntax("Bad NOTIFY parameter syntax"); };
  if (value.empty() || value.back() == ',' || value.front() == ',') return bad();
  for (const std::string_view word : split(value, ",")) {
    std::uint8_t bit;
    if (iequals(word, "NEVER"))
      bit = mail::notify_never;
    else if (iequals(word, "SUCCESS"))
      bit = mail::notify_success;
    else if (iequals(word, "FAILURE"))
      bit = mail::notify_failure;
    else if (iequals(word, "DELAY"))
      bit = mail::notify_delay;
    else
      return bad();
    notify |= bit;
  }
  if ((notify & mail::notify_never) != 0 && notify != mail::notify_never) return bad();
  return std::nullopt;
}

std::optional<Refusal> orcpt_parameter(std::string_view value, std::string& orcpt) {
  if (!orcpt.empty()) return syntax("Duplicate ORCPT parameter");
  const std::size_t semicolon = value.find(';');
  if (semicolon == std::string_view::npos || semicolon == 0 || value.size() > kMaxOrcpt)
    return syntax("Bad ORCPT parameter syntax");
  for (const char c : value.substr(0, semicolon))
    if (!is_alnum(c) && c != '-') return syntax("Bad ORCPT parameter syntax");
  const auto address = from_xtext(value.substr(semicolon + 1));
  if (!address || address->empty() || !is_valid_utf8(*address))
    return syntax("Bad ORCPT parameter syntax");
  orcpt = lowercase(value.substr(0, semicolon)) + ';' + *address;
  return std::nullopt;
}

} // namespace

Command parse_command(std::string_view line) {
  Command command;
  for (const char c : line) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\t') || byte == 0x7f) return command;
  }
  line = trim(line);
  command.word = line.substr(0, line.find_first_of(" \t"));
  command.arguments = trim(line.substr(command.word.size()));
  for (const auto& [name, verb] : kVerbs)
    if (iequals(command.word, name)) command.verb = verb;
  return command;
}

std::optional<Refusal> parse_mail(std::string_view arguments, MailCommand& out) {
  out = {};
  if (auto wrong = take_path(arguments, "FROM:", mail::Utf8::yes, out.sender, "5.1.7"))
    return wrong;
  Parameter parameter;
  while (next_parameter(arguments, parameter))
    if (auto wrong = mail_parameter(parameter, out)) return wrong;
  if (!out.smtputf8 && !is_ascii(out.sender))
    return Refusal{553, "5.6.7", "Non-ASCII sender address needs SMTPUTF8"};
  return std::nullopt;
}

std::optional<Refusal> parse_rcpt(std::string_view arguments, mail::Utf8 utf8, RcptCommand& out) {
  out = {};
  if (auto wrong = take_path(arguments, "TO:", mail::Utf8::yes, out.recipient.address, "5.1.3"))
    return wrong;
  if (out.recipient.address.empty()) return Refusal{501, "5.1.3", "Bad address syntax: empty"};
  Parameter parameter;
  while (next_parameter(arguments, parameter)) {
    std::optional<Refusal> wrong;
    if (iequals(parameter.name, "NOTIFY")) {
      wrong = notify_parameter(parameter.value, out.recipient.notify);
    } else if (iequals(parameter.name, "ORCPT")) {
      wrong = orcpt_parameter(parameter.value, out.recipient.orcpt);
    } else {
      wrong = not_recognized(parameter.name);
    }
    if (wrong) return wrong;
  }
  if (utf8 == mail::Utf8::no &&
      (!is_ascii(out.recipient.address) || !is_ascii(out.recipient.orcpt)))
    return Refusal{553, "5.6.7", "Non-ASCII recipient address needs SMTPUTF8"};
  return std::nullopt;
}

std::optional<Refusal> parse_bdat(std::string_view arguments, BdatCommand& out) {
  out = {};
  const auto words = split(arguments, " \t");
  if (words.empty() || words.size() > 2) return syntax("Syntax: BDAT count [LAST]");
  const auto size = parse_decimal(words[0]);
  if (!size || *size > INT64_MAX) return syntax("Bad BDAT count syntax");
  if (words.size() == 2 && !iequals(words[1], "LAST")) return syntax("Bad BDAT end marker syntax");
  out = {*size, words.size() == 2};
  return std::nullopt;
}

std::optional<Refusal> parse_helo(std::string_view arguments, std::string& name) {
  const std::string_view word = arguments.substr(0, arguments.find_first_of(" \t"));
  if (word.empty() || word.size() > mail::kMaxDomain || !is_valid_utf8(word))
    return syntax("Syntax: HELO hostname");
  name = word;
  return std::nullopt;
}

} // namespace postrider::smtp
