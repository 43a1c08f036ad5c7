// SPDX-License-Identifier: MIT
// Which addresses a table makes of one: canonical(5), virtual(5) and generic(5), whose keys and
// results have the same rules. One look-up; who wants to look further calls again.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "maps/map.hpp"

namespace postrider::route {

struct AddressRules {
  std::string title;           // of the tables, for messages: "canonical_maps"
  std::string delimiters = {}; // recipient_delimiter
  bool propagate = false;      // an extension that the table does not name goes over to the results
  std::string origin = {};     // what results without a domain get; empty: nothing
  std::string mydomain = {};   // what results with a domain without a dot get; empty: nothing
};

// Completes an address as AddressRules say; the null sender stays.
void complete_address(std::string& address, std::string_view origin, std::string_view mydomain);

// `address` in the form of mail::Envelope, and so are the results; empty: no table has it. `ours`:
// users of its domain are known by their name alone. A question for maps::ask(). Error: trouble
// with a table, or a result that is no address.
Result<std::vector<std::string>> map_address(maps::MapList& maps, std::string_view address,
                                             const AddressRules& rules, bool ours);

} // namespace postrider::route
