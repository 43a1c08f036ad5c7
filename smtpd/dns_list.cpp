// SPDX-License-Identifier: MIT
#include "dns_list.hpp"

#include "base/ascii.hpp"
#include "mail/domain.hpp"
#include "maps/cidr.hpp"

namespace postrider::smtpd {

namespace {

std::optional<unsigned> read_octet(std::string_view text) {
  const auto number = parse_decimal(text);
  if (!number || *number > 255) return std::nullopt;
  return static_cast<unsigned>(*number);
}

// "5", or what stands in brackets: "2;4..8".
bool read_octets(std::string_view text, std::bitset<256>& out) {
  for (const std::string_view item : split(text, ";")) {
    const std::size_t dots = item.find("..");
    const auto low = read_octet(item.substr(0, dots));
    const auto high = dots == std::string_view::npos ? low : read_octet(item.substr(dots + 2));
    if (!low || !high || *low > *high) return false;
    for (unsigned i = *low; i <= *high; ++i)
      out.set(i);
  }
  return out.any();
}

bool read_filter(std::string_view text, std::array<std::bitset<256>, 4>& out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    std::size_t end;
    if (text.starts_with('[')) {
      end = text.find(']');
      if (end == std::string_view::npos || !read_octets(text.substr(1, end - 1), out[i]))
        return false;
      ++end;
    } else {
      end = std::min(text.find('.'), text.size());
      const auto octet = read_octet(text.substr(0, end));
      if (!octet) return false;
      out[i].set(*octet);
    }
    const bool last = i + 1 == out.size();
    if (last) return end == text.size();
    if (end >= text.size() || text[end] != '.') return false;
    text.remove_prefix(end + 1);
  }
  return false;
}

} // namespace

Result<DnsList> DnsList::parse(std::string_view text) {
  DnsList list;
  const std::size_t equals = text.find('=');
  list.domain_ = text.substr(0, equals);
  if (!mail::is_domain(list.domain_))
    return Error(ErrorKind::config, "\"" + list.domain_ + "\" is no domain of a DNS list");
  if (equals == std::string_view::npos) return list;
  if (!read_filter(text.substr(equals + 1), list.filter_.emplace()))
    return Error(ErrorKind::config, "\"" + std::string(text.substr(equals + 1)) +
                                        "\" is no d.d.d.d, where d is a number, or numbers and "
                                        "ranges as [2;4..8]");
  return list;
}

bool DnsList::matches(std::string_view address) const {
  if (address.size() != 4) return false;
  if (!filter_) return true;
  for (std::size_t i = 0; i < 4; ++i)
    if (!(*filter_)[i].test(static_cast<unsigned char>(address[i]))) return false;
  return true;
}

std::string reversed_address(std::string_view text) {
  const auto address = maps::parse_address(text);
  if (!address) return {};
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (std::size_t i = address->size; i-- > 0;) {
    const unsigned byte = address->bytes[i];
    if (!out.empty()) out.push_back('.');
    if (address->size == 4) {
      out += std::to_string(byte);
    } else {
      out.push_back(kDigits[byte & 15]);
      out.push_back('.');
      out.push_back(kDigits[byte >> 4]);
    }
  }
  return out;
}

std::string text_of_txt(std::string_view rdata) {
  std::string out;
  while (!rdata.empty()) {
    const auto length = static_cast<unsigned char>(rdata.front());
    out += rdata.substr(1, length);
    rdata.remove_prefix(std::min<std::size_t>(rdata.size(), 1U + length));
  }
  return out;
}

} // namespace postrider::smtpd
