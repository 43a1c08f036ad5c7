// SPDX-License-Identifier: MIT
#include "behind.hpp"

#include "base/ascii.hpp"
#include "mail/domain.hpp"
#include "smtp/xtext.hpp"

namespace postrider::smtpd {

namespace {

using Refused = std::optional<smtp::Refusal>;

constexpr std::string_view kUnavailable = "[UNAVAILABLE]";
constexpr std::string_view kTemporary = "[TEMPUNAVAIL]";
constexpr std::string_view kUnknown = "unknown";
constexpr std::size_t kMaxValue = 255; // before decoding
constexpr std::size_t kMaxProtocol = 64;

smtp::Refusal syntax(std::string text) { return {501, "5.5.4", std::move(text)}; }
smtp::Refusal bad_value(std::string_view name, std::string_view value) {
  return syntax("Bad " + std::string(name) + " syntax: " + std::string(value.substr(0, 100)));
}

// What could mean something in a header or in a line of the log.
std::string neutral(std::string text) {
  for (char& c : text)
    if (c <= ' ' || c >= 0x7f || std::string_view("<>()\\\";@").find(c) != std::string_view::npos)
      c = '?';
  return text;
}

// "IPV6:2001:db8::1" or "192.0.2.1", as Postfix writes it; without the prefix an IPv6 address is
// understood as well. Empty: it is none.
std::string address_of(std::string_view text) {
  if (text.empty() || text.front() == '[') return {};
  const auto address = net::Address::parse_ip(text, 0);
  return address ? address->text() : std::string();
}

bool is_port(std::string_view text) {
  const auto number = parse_decimal(text);
  return number && *number <= UINT16_MAX && text.size() <= 5;
}

// Name by name; `take` decides about one attribute.
template <typename Take>
Refused each(std::string_view verb, std::string_view arguments, const Take& take) {
  const auto words = split(arguments, " \t");
  if (words.empty()) return syntax("Syntax: " + std::string(verb) + " attribute=value...");
  for (const std::string_view word : words) {
    const std::size_t equals = word.find('=');
    if (equals == std::string_view::npos || equals + 1 == word.size())
      return syntax("Error: attribute=value expected");
    const std::string_view raw = word.substr(equals + 1);
    if (raw.size() > kMaxValue) return syntax("Error: attribute value too long");
    const auto value = smtp::from_xtext(raw);
    if (!value) return syntax("Bad attribute value syntax: " + std::string(raw.substr(0, 100)));
    const std::string name = uppercase(word.substr(0, equals));
    const bool known = !iequals(*value, kUnavailable);
    bool is_attribute = true;
    if (const Refused refused = take(name, known, *value, is_attribute)) return refused;
    if (!is_attribute)
      return syntax("Bad " + std::string(verb) + " attribute name: " + name.substr(0, 100));
  }
  return std::nullopt;
}

// A name of the client, verified by who speaks for it.
Refused take_name(std::string_view attribute, const std::string& value, std::string& name,
                  dns::NameStatus& status) {
  if (iequals(value, kUnavailable) || iequals(value, kTemporary)) {
    status = iequals(value, kTemporary) ? dns::NameStatus::temporary : dns::NameStatus::not_found;
    name = kUnknown;
    return std::nullopt;
  }
  if (!mail::is_hostname(value)) return bad_value(attribute, value);
  status = dns::NameStatus::ok;
  name = value;
  return std::nullopt;
}

} // namespace

Refused take_xclient(std::string_view arguments, ClientChange& change) {
  ClientChange to = change;
  Peer& peer = to.peer;
  peer.login = {}; // whoever logged in is not this client
  const Refused refused =
      each("XCLIENT", arguments,
           [&](const std::string& name, bool known, const std::string& value, bool& known_name) {
             const auto port = [&](std::string& into) -> Refused {
               if (known && !is_port(value)) return bad_value(name, value);
               into = known ? value : kUnknown;
               return std::nullopt;
             };
             const auto address = [&](std::string& into) -> Refused {
               const bool told = known && !iequals(value, kUnknown);
               const std::string found = told ? address_of(value) : std::string(kUnknown);
               if (found.empty()) return bad_value(name, value);
               into = found;
               return std::nullopt;
             };
             if (name == "NAME") {
               if (const Refused bad = take_name(name, value, peer.name, peer.name_status))
                 return bad;
               if (peer.name_status == dns::NameStatus::ok) {
                 peer.reverse_name = peer.name;
                 peer.reverse_name_status = peer.name_status;
               }
             } else if (name == "REVERSE_NAME") {
               return take_name(name, value, peer.reverse_name, peer.reverse_name_status);
             } else if (name == "ADDR") {
               return address(peer.address);
             } else if (name == "PORT") {
               return port(peer.port);
             } else if (name == "DESTADDR") {
               return address(peer.server_address);
             } else if (name == "DESTPORT") {
               return port(peer.server_port);
             } else if (name == "HELO") {
               to.helo = known ? neutral(value) : std::string();
             } else if (name == "PROTO") {
               if (!iequals(value, "SMTP") && !iequals(value, "ESMTP"))
                 return Refused(bad_value(name, value));
               to.esmtp = iequals(value, "ESMTP");
             } else if (name == "LOGIN") {
               peer.login = known ? PeerLogin{"XCLIENT", value} : PeerLogin{};
             } else {
               known_name = false;
             }
             return Refused();
           });
  if (!refused) change = std::move(to);
  return refused;
}

Refused take_xforward(std::string_view arguments, mail::Forwarded& forwarded) {
  mail::Forwarded to = forwarded;
  const Refused refused =
      each("XFORWARD", arguments,
           [&](const std::string& name, bool known, const std::string& value, bool& known_name) {
             bool of_client = true;
             if (name == "NAME") {
               to.name = known ? neutral(value) : std::string();
               if (known && !mail::is_hostname(to.name)) return Refused(bad_value(name, value));
             } else if (name == "ADDR") {
               to.address = known ? address_of(value) : std::string();
               if (known && to.address.empty()) return Refused(bad_value(name, value));
             } else if (name == "PORT") {
               if (known && !is_port(value)) return Refused(bad_value(name, value));
               to.port = known ? value : std::string();
             } else if (name == "HELO") {
               to.helo = known ? neutral(value) : std::string();
             } else if (name == "PROTO") {
               if (value.size() > kMaxProtocol) return Refused(bad_value(name, value));
               to.protocol = known ? neutral(value) : std::string();
             } else if (name == "IDENT") {
               of_client = false;
               to.id = known ? neutral(value) : std::string();
             } else if (name == "SOURCE") {
               of_client = false;
               to.source = uppercase(value);
               if (to.source != "LOCAL" && to.source != "REMOTE")
                 return Refused(bad_value(name, value));
             } else {
               known_name = false;
             }
             to.client = to.client || (of_client && known_name);
             return Refused();
           });
  if (!refused) forwarded = std::move(to);
  return refused;
}

std::string shown(const mail::Forwarded& forwarded, bool with_port) {
  std::string text = forwarded.name.empty() ? std::string(kUnknown) : forwarded.name;
  if (forwarded.address.empty()) return text;
  text += "[" + forwarded.address + "]";
  if (with_port) text += ":" + (forwarded.port.empty() ? std::string(kUnknown) : forwarded.port);
  return text;
}

} // namespace postrider::smtpd
