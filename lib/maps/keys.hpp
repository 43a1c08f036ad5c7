// SPDX-License-Identifier: MIT
// Which keys an address is looked up by, in order, most specific first. All here is pure and
// lower-case; the tables' manual is postrider-tables(5).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "maps/map.hpp"

namespace postrider::maps {

struct SearchKey {
  std::string text;
  Key kind = Key::part;
  bool operator==(const SearchKey&) const = default;
};

struct AddressParts {
  std::string_view local;     // "user+ext"
  std::string_view user;      // "user"
  std::string_view extension; // "ext"; empty when there is none
  std::string_view domain;    // empty when there is no '@'
  char delimiter = 0;         // '+' when there is an extension
};

// At the last '@'. An extension begins at the first of `delimiters` that is not in front.
AddressParts split_address(std::string_view address, std::string_view delimiters);

struct KeyRules {
  std::string_view delimiters = {}; // recipient_delimiter
  bool parents_match = false;       // "example.com" also stands for what is below it; else it is
                                    // ".example.com" that does
};

// transport(5): user+ext@domain, user@domain, domain, its parents, "*".
std::vector<SearchKey> transport_keys(std::string_view address, const KeyRules& rules);
// access(5), mail addresses: user+ext@domain, user@domain, domain, its parents, user+ext@, user@.
std::vector<SearchKey> access_keys(std::string_view address, const KeyRules& rules);
// Of a sender, and other address maps: user+ext@domain, user@domain, @domain.
std::vector<SearchKey> address_keys(std::string_view address, const KeyRules& rules);
// domain and its parents alone; an address literal "[192.0.2.1]" has no parents.
std::vector<SearchKey> domain_keys(std::string_view domain, const KeyRules& rules);

// The first answer for any of the keys.
Result<std::optional<std::string>> search(MapList& maps, const std::vector<SearchKey>& keys);

} // namespace postrider::maps
