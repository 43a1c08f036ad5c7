// SPDX-License-Identifier: MIT
// Which filters there are, and how each is spoken to: smtpd_milters and what belongs to it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "milter/answer.hpp"
#include "milter/macros.hpp"
#include "net/address.hpp"

namespace postrider::milter {

struct FilterOptions {
  std::string name; // "inet:localhost:8891", as written
  std::vector<net::Address> addresses;
  std::string trouble; // why there is no address
  Duration connect_timeout = std::chrono::seconds(30);
  Duration command_timeout = std::chrono::seconds(30);
  Duration content_timeout = std::chrono::seconds(300);
  DefaultAction default_action = DefaultAction::tempfail;
  std::uint32_t version = 6; // of the protocol
};

// "inet:host:port, unix:path, { inet:host:port, connect_timeout=5s, default_action=accept }". What
// an entry does not say is as in `common`. A host name is resolved here; one that is not found
// makes the filter fail as one that is away. WAITS for that: not for use in a loop.
Result<std::vector<FilterOptions>> parse_filters(std::string_view text,
                                                 const FilterOptions& common);

// Of a service: shared by its sessions.
struct FilterSet {
  std::vector<FilterOptions> filters;
  MacroNames macros;
  std::map<std::string, std::string> macro_defaults;
};
// "{name=value, x=y}": milter_macro_defaults.
Result<std::map<std::string, std::string>> parse_macro_defaults(std::string_view text);

} // namespace postrider::milter
