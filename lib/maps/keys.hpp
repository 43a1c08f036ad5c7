// SPDX-License-Identifier: MIT
// Which keys an address is looked up by, in order, most specific first. All here is pure. The keys
// keep upper and lower case: tables of fixed keys do not distinguish them, and patterns may want to
// give back what they matched. Where a local part has to be quoted, the quoted form comes first
// and the plain one behind it. The tables' manual is postrider-tables(5).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "maps/map.hpp"

namespace postrider::maps {

struct SearchKey {
  std::string text;
  Key kind = Key::part;
  bool without_extension = false; // the extension was left out: canonical(5) tables add it again
  bool operator==(const SearchKey&) const = default;
};

struct AddressParts {
  std::string_view local;     // "user+ext"
  std::string_view user;      // "user"
  std::string_view extension; // "ext"
  std::string_view domain;    // empty when there is no '@'
  char delimiter = 0;         // '+' when there is an extension, if only an empty one
};

// At the last '@'. An extension begins at the first of `delimiters`, unless that is in front.
// Nothing is cut off postmaster, mailer-daemon and double-bounce, and not with '-' off owner-list
// and list-request.
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
// generic(5), canonical(5): as address_keys, and before @domain: user+ext, user, when the domain is
// `ours` (myorigin, in mydestination, or an address of this host).
std::vector<SearchKey> generic_keys(std::string_view address, const KeyRules& rules, bool ours);
// domain and its parents alone; an address literal "[192.0.2.1]" has no parents.
std::vector<SearchKey> domain_keys(std::string_view domain, const KeyRules& rules);

// The first answer for any of the keys.
Result<std::optional<std::string>> search(MapList& maps, const std::vector<SearchKey>& keys);

} // namespace postrider::maps
