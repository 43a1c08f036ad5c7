// SPDX-License-Identifier: MIT
// Lists that say yes or no: mynetworks, mydestination, relay_domains and their like. Items are
// patterns, /file/name (its content stands in its place, read once), and type:table (any answer is
// yes). They are tried in order and the first that matches decides; !item makes it a no.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "maps/cidr.hpp"
#include "maps/map.hpp"

namespace postrider::maps {

class MatchList {
 public:
  struct Rules {
    // parent_domain_matches_subdomains names this list: "example.com" also matches what is below
    // it. Otherwise ".example.com" does.
    bool parents_match = false;
  };

  // Error: an item that cannot be understood, a file that cannot be read.
  static Result<MatchList> open(std::string_view spec, Rules rules, const MapOptions& options);

  // An Error is a table's temporary trouble. An address literal is a domain without parents.
  Result<bool> matches_domain(std::string_view domain);
  // Networks and addresses. Names in the list match nothing here; an address that is none matches
  // nothing.
  Result<bool> matches_address(std::string_view address);
  // A client by either; `name` may be "unknown".
  Result<bool> matches_host(std::string_view name, std::string_view address);

  bool empty() const { return items_.empty(); }
  // Whether a table in it has to be waited for, with ask() (maps/ask.hpp).
  bool may_wait() const;

 private:
  struct Item {
    bool negated = false;
    std::string name;               // a pattern, lower-case; for messages, of a table too
    std::optional<Network> network; // a pattern that is one
    std::unique_ptr<Map> table;
  };
  struct Reader;

  Result<bool> item_has_domain(Item& item, std::string_view domain) const;
  Result<bool> item_has_address(Item& item, std::string_view text, const Address& address) const;

  Rules rules_;
  std::vector<Item> items_;
};

} // namespace postrider::maps
