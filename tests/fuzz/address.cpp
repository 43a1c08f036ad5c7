// SPDX-License-Identifier: MIT
// Addresses and domains: of envelopes, of sockets, of tables. What was parsed can be written and
// parsed again, and is the same.
#include "mail/address.hpp"

#include <cstring>
#include <sys/socket.h>

#include "base/ascii.hpp"
#include "fuzz/target.hpp"
#include "mail/domain.hpp"
#include "maps/cidr.hpp"
#include "maps/keys.hpp"
#include "net/address.hpp"
#include "net/tcp_stream.hpp"

namespace {
using namespace postrider;

void check_address(const std::string& address, mail::Utf8 utf8) {
  POSTRIDER_CHECK(mail::local_part(address).size() +
                      (address.find('@') == std::string::npos ? 0 : 1) +
                      mail::domain_part(address).size() ==
                  address.size());
  for (const char c : address)
    POSTRIDER_CHECK(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f, address);
  POSTRIDER_CHECK(utf8 == mail::Utf8::yes ? is_valid_utf8(address) : is_ascii(address));
  const auto again = mail::parse_path("<" + mail::to_external(address) + ">", utf8);
  POSTRIDER_CHECK(again && again->address == address, address);
}

void check_keys(const std::string& address) {
  maps::KeyRules rules;
  rules.delimiters = "+-";
  for (const bool parents : {false, true}) {
    rules.parents_match = parents;
    for (const auto& keys :
         {maps::transport_keys(address, rules), maps::access_keys(address, rules),
          maps::address_keys(address, rules), maps::generic_keys(address, rules, parents),
          maps::domain_keys(mail::domain_part(address), rules)})
      POSTRIDER_CHECK(keys.size() < 1000);
  }
}

} // namespace

FUZZ(input) {
  const std::string text(input);
  for (const auto utf8 : {mail::Utf8::no, mail::Utf8::yes}) {
    if (const auto path = mail::parse_path(text, utf8)) {
      POSTRIDER_CHECK(path->length <= text.size());
      if (!path->address.empty()) check_address(path->address, utf8);
      check_keys(path->address);
    }
    if (const auto mailbox = mail::parse_mailbox(text, utf8)) check_address(*mailbox, utf8);
  }
  check_keys(text.substr(0, 300));
  if (const auto ascii = mail::to_ascii(text)) {
    POSTRIDER_CHECK(is_ascii(*ascii) && lowercase(*ascii) == *ascii && mail::is_domain(*ascii));
    const auto again = mail::to_ascii(*ascii);
    POSTRIDER_CHECK(again && *again == *ascii, *ascii);
  }
  if (mail::is_hostname(text)) POSTRIDER_CHECK(mail::is_domain(text) && is_ascii(text));
  if (mail::is_address_literal(text)) POSTRIDER_CHECK(!mail::literal_address(text).empty(), text);
  if (const auto ip = net::Address::parse_ip(text, 25)) {
    POSTRIDER_CHECK(ip->is_ip() && ip->port() == 25);
    const bool near = ip->is_link_local_or_group();
    POSTRIDER_CHECK(!near || !ip->is_loopback());
    net::Address other = net::Address::from_sockaddr(ip->raw(), ip->raw_length());
    POSTRIDER_CHECK(other == *ip && other.is_unspecified() == ip->is_unspecified());
    other.set_port(26);
    POSTRIDER_CHECK(other.port() == 26 && !(other == *ip));
    const auto again = net::Address::parse_ip(ip->text(), 25);
    POSTRIDER_CHECK(again && again->text() == ip->text(), ip->text());
    const auto known = maps::parse_address(ip->text());
    POSTRIDER_CHECK(known || text.find('%') != text.npos, ip->text());
  }
  if (const auto path = net::Address::unix_path(text))
    POSTRIDER_CHECK(!path->is_ip() && path->text() == text.substr(0, text.find('\0')) &&
                    path->port() == 0 && !path->is_loopback() && !path->is_unspecified() &&
                    !path->is_link_local_or_group());
  static const auto ends = net::socket_pair();
  POSTRIDER_CHECK(net::Address::peer_of(ends->first.get()) ==
                  net::Address::local_of(ends->second.get()));
  sockaddr_storage raw{};
  const std::size_t size = std::min(input.size(), sizeof raw);
  std::memcpy(&raw, input.data(), size);
  (void)net::Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&raw),
                                    static_cast<socklen_t>(input.size()))
      .text();
  if (const auto network = maps::parse_network(text))
    POSTRIDER_CHECK(network->bits <= network->base.size * 8U && network->contains(network->base));
}
