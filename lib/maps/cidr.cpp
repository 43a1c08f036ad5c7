// SPDX-License-Identifier: MIT
#include "maps/cidr.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <cstring>

#include "base/ascii.hpp"
#include "base/logical_lines.hpp"

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

class CidrTable::Reader {
 public:
  Reader(CidrTable& table, Problems& problems) : table_(table), problems_(problems) {}

  void read(const LogicalLine& line) {
    const auto skip = [&](std::string_view why) {
      problems_.add(line.number, std::string(why) + ": skipping this rule");
    };
    if (is_space(line.text.front()))
      return skip("the line starts with white space but continues nothing");
    if (line.text.find('\0') != std::string::npos) return skip("the line holds a zero byte");
    std::string_view content = trim(line.text);
    if (is_word(content, "endif")) {
      if (open_.empty()) return skip("ENDIF without IF");
      if (content.size() > 5) problems_.add(line.number, "ignoring extra text after ENDIF");
      table_.rules_[open_.back().first].end = table_.rules_.size();
      open_.pop_back();
      return;
    }
    Rule rule;
    rule.is_block = is_word(content, "if");
    if (rule.is_block) content.remove_prefix(2);
    const Line parts = split_line(content);
    auto network = parse_network(parts.network);
    if (network && rule.is_block && !parts.rest.empty())
      network = bad("text behind the network of an if");
    rule.negated = parts.negated;
    rule.value = parts.rest;
    if (network) rule.network = *network;
    if (rule.is_block) {
      // A block whose condition is wrong stays shut: its rules were not meant for all addresses.
      if (!network)
        problems_.add(line.number, network.error().text() + ": skipping all up to its ENDIF");
      open_.emplace_back(table_.rules_.size(), line.number);
    } else if (!network) {
      return skip(network.error().text());
    } else if (rule.value.empty()) {
      return skip("no lookup result");
    }
    table_.rules_.push_back(std::move(rule));
  }

  void finish() {
    for (const auto& [rule, line] : open_) {
      table_.rules_[rule].end = table_.rules_.size();
      problems_.add(line, "IF without ENDIF");
    }
  }

 private:
  CidrTable& table_;
  Problems& problems_;
  std::vector<std::pair<std::size_t, std::size_t>> open_; // blocks, and their lines
};

CidrTable CidrTable::parse(std::string_view text, Problems& problems) {
  CidrTable table;
  Reader reader(table, problems);
  LogicalLines lines(text);
  while (auto line = lines.next())
    reader.read(*line);
  reader.finish();
  return table;
}

std::optional<std::string_view> CidrTable::find(const Address& address) const {
  for (std::size_t i = 0; i < rules_.size();) {
    const Rule& rule = rules_[i];
    // Of the other IP version: no match, negated or not.
    const bool holds = rule.network && rule.network->base.size == address.size &&
                       rule.network->contains(address) != rule.negated;
    if (holds && !rule.is_block) return rule.value;
    i = rule.is_block && !holds ? rule.end : i + 1;
  }
  return std::nullopt;
}

} // namespace postrider::maps
