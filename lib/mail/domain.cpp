// SPDX-License-Identifier: MIT
#include "mail/domain.hpp"

#include <arpa/inet.h>

#include <idn2.h>

#include "base/ascii.hpp"
#include "mail/address.hpp"

namespace postrider::mail {
namespace {

bool is_ip(int family, std::string_view text) {
  if (text.size() >= INET6_ADDRSTRLEN) return false;
  char buffer[INET6_ADDRSTRLEN] = {};
  text.copy(buffer, text.size());
  if (std::string_view(buffer).size() != text.size()) return false; // a NUL inside
  unsigned char address[16];
  return inet_pton(family, buffer, address) == 1;
}

} // namespace

bool is_domain(std::string_view text) {
  if (text.empty() || text.size() > kMaxDomain) return false;
  std::size_t label = 0;
  char before = '.';
  for (const char c : text) {
    if (c == '.') {
      if (label == 0 || before == '-') return false;
      label = 0;
    } else {
      const bool fits =
          is_alnum(c) || c == '-' || c == '_' || static_cast<unsigned char>(c) >= 0x80;
      if (!fits || (label == 0 && c == '-') || ++label > kMaxLabel) return false;
    }
    before = c;
  }
  return label > 0 && before != '-';
}

bool is_hostname(std::string_view text) {
  if (!is_domain(text) || !is_ascii(text)) return false;
  const std::string_view last = text.substr(text.rfind('.') + 1);
  return last.find_first_not_of("0123456789") != std::string_view::npos;
}

std::string literal_address(std::string_view text) {
  if (text.size() < 3 || text.front() != '[' || text.back() != ']') return {};
  text = text.substr(1, text.size() - 2);
  if (is_ip(AF_INET, text)) return std::string(text);
  if (istarts_with(text, "IPv6:")) text.remove_prefix(5);
  return is_ip(AF_INET6, text) ? std::string(text) : std::string();
}

bool is_address_literal(std::string_view text) {
  const bool tagged = istarts_with(text, "[IPv6:");
  const std::string address = literal_address(text);
  return !address.empty() && tagged == (address.find(':') != std::string::npos);
}

Result<std::string> to_ascii(std::string_view domain) {
  if (!is_domain(domain)) return Error(ErrorKind::protocol, "malformed domain");
  if (is_ascii(domain)) return lowercase(domain);
  const std::string input(domain);
  char* output = nullptr;
  int status = idn2_to_ascii_8z(input.c_str(), &output, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
  if (status == IDN2_DISALLOWED)
    status = idn2_to_ascii_8z(input.c_str(), &output, IDN2_TRANSITIONAL);
  if (status != IDN2_OK)
    return Error(ErrorKind::protocol, std::string("malformed domain: ") + idn2_strerror(status));
  std::string result = lowercase(output);
  idn2_free(output);
  if (!is_domain(result)) return Error(ErrorKind::protocol, "malformed domain");
  return result;
}

} // namespace postrider::mail
