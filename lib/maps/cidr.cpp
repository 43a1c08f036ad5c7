// SPDX-License-Identifier: MIT
#include "maps/cidr.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <cstring>

#include "base/ascii.hpp"
#include "base/text_file.hpp"

namespace postrider::maps {

namespace {

Error bad(std::string text) { return {ErrorKind::config, std::move(text)}; }

std::string quoted(std::string_view text) { return "\"" + std::string(text.substr(0, 60)) + "\""; }

struct Line {
  bool negated = false;
  std::string_view network;
  std::string_view rest;
};

// `[!]network rest`; white space may follow the '!'.
Line split_line(std::string_view text) {
  Line line;
  text = trim(text);
  while (!text.empty() && text.front() == '!') {
    line.negated = !line.negated;
    text = trim(text.substr(1));
  }
  std::size_t end = 0;
  while (end < text.size() && !is_space(text[end]))
    ++end;
  line.network = text.substr(0, end);
  line.rest = trim(text.substr(end));
  return line;
}

bool is_word(std::string_view text, std::string_view word) {
  return istarts_with(text, word) &&
         (text.size() == word.size() || is_space(text[word.size()]) || text[word.size()] == '!');
}

} // namespace

std::optional<Address> parse_address(std::string_view text) {
  if (text.size() >= 2 && text.front() == '[' && text.back() == ']') {
    text = text.substr(1, text.size() - 2);
    if (istarts_with(text, "IPv6:")) text.remove_prefix(5);
  }
  char buffer[INET6_ADDRSTRLEN];
  if (text.empty() || text.size() >= sizeof buffer) return std::nullopt;
  std::memcpy(buffer, text.data(), text.size());
  buffer[text.size()] = '\0';
  if (std::strlen(buffer) != text.size()) return std::nullopt;
  Address address;
  if (::inet_pton(AF_INET, buffer, address.bytes.data()) == 1) {
    address.size = 4;
    return address;
  }
  if (::inet_pton(AF_INET6, buffer, address.bytes.data()) != 1) return std::nullopt;
  address.size = 16;
  constexpr std::array<std::uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (std::equal(kMapped.begin(), kMapped.end(), address.bytes.begin())) {
    std::copy(address.bytes.begin() + 12, address.bytes.end(), address.bytes.begin());
    std::fill(address.bytes.begin() + 4, address.bytes.end(), std::uint8_t{0});
    address.size = 4;
  }
  return address;
}

bool Network::contains(const Address& address) const {
  if (address.size != base.size) return false;
  const std::size_t whole = bits / 8;
  if (std::memcmp(address.bytes.data(), base.bytes.data(), whole) != 0) return false;
  if (bits % 8 == 0) return true;
  const auto mask = static_cast<std::uint8_t>(0xff << (8 - bits % 8));
  return (address.bytes[whole] & mask) == (base.bytes[whole] & mask);
}

Result<Network> parse_network(std::string_view text) {
  const std::size_t slash = text.rfind('/');
  const auto base = parse_address(text.substr(0, slash));
  if (!base) return bad(quoted(text) + " is no network; write 192.0.2.0/24 or [2001:db8::]/32");
  Network network{.base = *base, .bits = base->size * 8u};
  if (slash == std::string_view::npos) return network;
  const auto bits = parse_decimal(text.substr(slash + 1));
  if (!bits || *bits > network.bits)
    return bad(quoted(text) + ": the number behind the / must be from 0 to " +
               std::to_string(network.bits));
  network.bits = static_cast<unsigned>(*bits);
  for (unsigned i = network.bits; i < base->size * 8u; ++i)
    if ((base->bytes[i / 8] & (0x80u >> (i % 8))) != 0)
      return bad(quoted(text) + ": the address has bits behind its first " +
                 std::to_string(network.bits) + "; set them to zero");
  return network;
}

Result<CidrTable> CidrTable::parse(std::string_view text, const std::string& file) {
  CidrTable table;
  std::vector<std::size_t> open;
  LogicalLines lines(text);
  while (auto line = lines.next()) {
    const std::string where = file + ":" + std::to_string(line->number);
    std::string_view content = trim(line->text);
    if (is_space(line->text.front()))
      return bad(where + ": the line starts with white space but continues nothing");
    if (line->text.find('\0') != std::string::npos)
      return bad(where + ": the line holds a zero byte");
    if (is_word(content, "endif")) {
      if (open.empty()) return bad(where + ": endif without if");
      table.rules_[open.back()].end = table.rules_.size();
      open.pop_back();
      Rule end;
      end.kind = Rule::Kind::end;
      table.rules_.push_back(std::move(end));
      continue;
    }
    Rule rule;
    if (is_word(content, "if")) {
      rule.kind = Rule::Kind::block;
      content.remove_prefix(2);
    }
    const Line parts = split_line(content);
    auto network = parse_network(parts.network);
    if (!network) return network.error().in(where);
    rule.network = *network;
    rule.negated = parts.negated;
    if (rule.kind == Rule::Kind::block) {
      if (!parts.rest.empty()) return bad(where + ": text behind the network of an if");
      open.push_back(table.rules_.size());
    } else if (parts.rest.empty()) {
      return bad(where + ": no value; write a network, white space, and a value");
    }
    rule.value = parts.rest;
    table.rules_.push_back(std::move(rule));
  }
  if (!open.empty()) return bad(file + ": if without endif");
  return table;
}

std::optional<std::string_view> CidrTable::find(const Address& address) const {
  for (std::size_t i = 0; i < rules_.size(); ++i) {
    const Rule& rule = rules_[i];
    if (rule.kind == Rule::Kind::end) continue;
    // Of the other IP version: no match, negated or not.
    const bool holds =
        rule.network.base.size == address.size && rule.network.contains(address) != rule.negated;
    if (rule.kind == Rule::Kind::block) {
      if (!holds) i = rule.end;
    } else if (holds) {
      return rule.value;
    }
  }
  return std::nullopt;
}

} // namespace postrider::maps
