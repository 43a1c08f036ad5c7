// SPDX-License-Identifier: MIT
// DNS lists of clients and domains, as reject_rbl_client writes them: "list.example",
// "list.example=127.0.0.4", "list.example=127.0.0.[2;4..8]". Pure.
#pragma once

#include <array>
#include <bitset>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace postrider::smtpd {

class DnsList {
 public:
  // Error config says what is wrong with it.
  static Result<DnsList> parse(std::string_view text);

  const std::string& domain() const { return domain_; }
  // Whether an answer, the four bytes of an A record, counts.
  bool matches(std::string_view address) const;

 private:
  std::string domain_;
  std::optional<std::array<std::bitset<256>, 4>> filter_;
};

// "1.2.0.192" of "192.0.2.1"; 32 digits of an IPv6 address; empty when the text is no address.
std::string reversed_address(std::string_view address);

// The text of a TXT record: its strings, one behind the other.
std::string text_of_txt(std::string_view rdata);

} // namespace postrider::smtpd
