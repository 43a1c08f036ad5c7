// SPDX-License-Identifier: MIT
// The value of an address header (RFC 5322 section 3.4): which addresses are in it, and how it is
// written when one of them has changed. Obsolete and broken forms are taken for what they most
// likely mean, and nothing of the text is thrown away but white space: a route, "a@b (c) d@e"
// without a comma, a phrase with dots, DECnet colons, a list that stops in the middle. Pure;
// linear.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace postrider::mime {

class AddressList {
 public:
  static AddressList parse(std::string_view value);

  std::size_t size() const { return addresses_.size(); }
  // Without quotes, comments and white space: local part '@' domain; the form of mail::Envelope.
  const std::string& address(std::size_t i) const { return items_[addresses_[i]].text; }
  void set_address(std::size_t i, std::string address) {
    items_[addresses_[i]].text = std::move(address);
  }

  // "name: value" with lines of at most 70 bytes where addresses allow it, broken behind commas.
  // Lines stand between line feeds.
  std::string format(std::string_view name) const;

 private:
  enum class Kind : std::uint8_t {
    word,    // atom, quoted string, domain literal or comment, as it is written
    address, // in internal form
    group,   // the colon behind a group's name
    mark,    // any other single character
  };
  struct Item {
    Kind kind = Kind::mark;
    std::string text;
    bool spaced = false; // white space stood before it
  };
  class Reader;

  std::vector<Item> items_;
  std::vector<std::size_t> addresses_; // indices of items_
};

} // namespace postrider::mime
