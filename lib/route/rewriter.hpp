// SPDX-License-Identifier: MIT
// What main.cf's tables make of the addresses of a message: other ones (canonical_maps), several
// (virtual_alias_maps), copies (always_bcc and its relatives), completed ones
// (append_dot_mydomain). Functions that return a Result are questions for maps::ask(); their Errors
// are trouble with a table, or a table that makes too much of an address. One thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "mail/envelope.hpp"
#include "maps/map.hpp"
#include "maps/match_list.hpp"
#include "route/address_map.hpp"

namespace postrider::config {
class Settings;
}

namespace postrider::route {

class Rewriter {
 public:
  enum class Role { sender, recipient };

  // What it is opened for: all of this, or readdressed() alone, without the tables of the rest.
  enum class Scope { all, readdressing };
  // Error config: says which parameter.
  static Result<Rewriter> open(const config::Settings& settings, Scope scope = Scope::all);

  // append_at_myorigin, append_dot_mydomain.
  void complete(std::string& address) const;
  const std::string& origin() const { return origin_; } // empty: nothing is appended
  bool is_own(const std::string& address) const;        // an IP address of this host
  // Whether users of the domain are known by their name alone.
  Result<bool> is_local(std::string_view domain);
  // Whether a canonical or alias table has something for a complete address.
  Result<bool> has_entry(const std::string& address, Role role, bool is_local);

  // --- of a whole envelope
  bool rewrites_envelopes() const;
  struct Sender {
    std::string address;
    std::optional<std::string> copy; // sender_bcc_maps
  };
  Result<Sender> sender(const std::string& address);
  // What takes the recipient's place: by canonical_maps, then by virtual_alias_maps. Each keeps
  // what the client asked for. Where an alias became something else and a success report was asked
  // for, that is reported (`expanded`, RFC 3464 section 2.3.3), and no longer its deliveries.
  Result<std::vector<mail::Recipient>> readdressed(const mail::Recipient& recipient);
  // The same with its copies (recipient_bcc_maps), which ask for nothing.
  Result<std::vector<mail::Recipient>> recipients(const mail::Recipient& recipient);
  // always_bcc, or an answer of sender_bcc_maps, as recipients.
  Result<std::vector<mail::Recipient>> copies(const std::string& to);
  const std::string& always_copy() const { return always_copy_; }

  // --- of a header
  Result<std::string> in_header(const std::string& address, Role role);

 private:
  using Classes = unsigned; // bits of Class
  struct Table {
    maps::MapList maps;
    AddressRules rules;
    Classes classes = 0;
  };
  Rewriter() = default;
  Result<std::string> canonical(Table& with, std::string address);
  Result<std::string> rewritten(std::string address, Role role, bool header);
  Result<std::vector<std::string>> aliases(const std::string& address);
  Result<void> add_aliases(const mail::Recipient& of, std::vector<mail::Recipient>& out);
  Result<std::optional<std::string>> copy_of(maps::MapList& maps, const std::string& address);

  std::string origin_, mydomain_;
  std::string delimiters_;
  std::string always_copy_;
  std::vector<std::string> own_addresses_;
  Table canonical_, sender_canonical_, recipient_canonical_, alias_;
  maps::MapList sender_copies_, recipient_copies_;
  maps::MatchList local_domains_;
  std::size_t expansion_limit_ = 1000, recursion_limit_ = 1000, length_limit_ = 1000;
};

} // namespace postrider::route
