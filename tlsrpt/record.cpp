// SPDX-License-Identifier: MIT
#include "record.hpp"

#include <algorithm>

#include "base/ascii.hpp"
#include "mail/domain.hpp"

namespace postrider::tlsrpt {
namespace {

constexpr std::string_view kVersion = "v=TLSRPTv1";
constexpr std::string_view kMailto = "mailto:";
constexpr std::string_view kHttps = "https://";

// Section 3: "v=TLSRPTv1" and a ";" behind it.
bool is_record(std::string_view text) {
  if (!text.starts_with(kVersion)) return false;
  text = trim(text.substr(kVersion.size()));
  return text.starts_with(';');
}

bool is_printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

std::optional<int> hex_digit(char c) {
  if (is_digit(c)) return c - '0';
  const char lower = to_lower(c);
  if (lower >= 'a' && lower <= 'f') return lower - 'a' + 10;
  return std::nullopt;
}

std::optional<std::string> percent_decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const auto high = hex_digit(text[i + 1]), low = hex_digit(text[i + 2]);
    if (!high || !low) return std::nullopt;
    out += static_cast<char>(*high * 16 + *low);
    i += 2;
  }
  return out;
}

} // namespace

std::optional<std::string> mail_address(std::string_view uri) {
  if (uri.size() > kLongestAddress || !istarts_with(uri, kMailto)) return std::nullopt;
  uri.remove_prefix(kMailto.size());
  const auto address = percent_decoded(uri.substr(0, uri.find('?'))); // header fields: not ours
  // One address of letters that need no quotes: nothing that could be two, or a line of a header.
  if (!address || !is_printable(*address)) return std::nullopt;
  const std::size_t at = address->rfind('@');
  if (at == std::string::npos || at == 0 || at > 64 || address->find('@') != at)
    return std::nullopt;
  if (address->find_first_of("()<>[]:;\\,\"") != std::string::npos) return std::nullopt;
  if (address->front() == '.' || (*address)[at - 1] == '.' ||
      address->find("..") != std::string::npos)
    return std::nullopt;
  if (!mail::is_hostname(std::string_view(*address).substr(at + 1))) return std::nullopt;
  return address;
}

std::optional<std::string> https_host(std::string_view uri) {
  if (uri.size() > kLongestAddress || !istarts_with(uri, kHttps) || !is_printable(uri))
    return std::nullopt;
  uri.remove_prefix(kHttps.size());
  const std::string_view authority = uri.substr(0, uri.find_first_of("/?#"));
  const std::size_t colon = authority.find(':');
  const std::string_view host = authority.substr(0, colon);
  if (!mail::is_hostname(host)) return std::nullopt; // no user, no address
  if (colon != std::string_view::npos) {
    const auto port = parse_decimal(authority.substr(colon + 1));
    if (!port || *port == 0 || *port > 65535) return std::nullopt;
  }
  return lowercase(host);
}

Result<std::vector<std::string>> parse_record(const std::vector<std::string>& texts) {
  std::vector<std::string_view> records;
  for (const std::string& text : texts)
    if (is_record(text)) records.emplace_back(text);
  if (records.size() != 1)
    return Error(ErrorKind::not_found, records.empty() ? "no TXT record of TLSRPT"
                                                       : "more than one TXT record of TLSRPT");
  std::vector<std::string> out;
  bool seen = false;
  for (std::string_view field : split(records.front(), ";")) {
    field = trim(field);
    const std::size_t equals = field.find('=');
    if (equals == std::string_view::npos || seen || trim(field.substr(0, equals)) != "rua")
      continue;
    seen = true;
    for (std::string_view uri : split(field.substr(equals + 1), ",")) {
      uri = trim(uri);
      std::string usable;
      if (const auto address = mail_address(uri))
        usable = std::string(kMailto) + *address;
      else if (https_host(uri))
        usable = uri;
      if (!usable.empty() && out.size() < kMostAddresses &&
          std::find(out.begin(), out.end(), usable) == out.end())
        out.push_back(std::move(usable));
    }
  }
  if (out.empty()) return Error(ErrorKind::not_found, "its rua names no address that can be used");
  return out;
}

} // namespace postrider::tlsrpt
