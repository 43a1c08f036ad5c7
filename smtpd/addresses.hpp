// SPDX-License-Identifier: MIT
// What main.cf's tables make of addresses: other ones (canonical_maps), several
// (virtual_alias_maps), copies (always_bcc and its relatives), completed ones
// (append_dot_mydomain), or nobody's (relay_recipient_maps, local_recipient_maps, relocated_maps).
// Functions that return a Result are questions for maps::ask(); their Errors are trouble with a
// table: 451, never a verdict. Owned by Config; one thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "mail/envelope.hpp"
#include "maps/map.hpp"
#include "maps/match_list.hpp"
#include "peer.hpp"
#include "route/address_map.hpp"
#include "smtp/command.hpp"

namespace postrider::config {
class Settings;
}

namespace postrider::smtpd {

class Addresses {
 public:
  // Error config: says which parameter.
  static Result<std::shared_ptr<Addresses>> open(const config::Settings& settings);

  // --- at MAIL and RCPT
  // append_at_myorigin, append_dot_mydomain.
  void complete(std::string& address) const;
  enum class Role { sender, recipient };
  // Why nobody has this address: it is not in the tables of its class (reject_unlisted_sender,
  // reject_unlisted_recipient), or its owner has moved. nullopt: nothing is known against it.
  Result<std::optional<smtp::Refusal>> validity(const std::string& address, Role role);
  Result<bool> is_alias_domain(const std::string& domain); // virtual_alias_domains

  // --- of a whole envelope
  bool rewrites_envelopes() const;
  struct Sender {
    std::string address;
    std::optional<std::string> copy; // sender_bcc_maps
  };
  Result<Sender> sender(const std::string& address);
  // What takes the recipient's place: by canonical_maps, with its copies (recipient_bcc_maps), by
  // virtual_alias_maps. Each keeps what the client asked for; copies ask for nothing.
  Result<std::vector<mail::Recipient>> recipients(const mail::Recipient& recipient);
  // always_bcc, or an answer of sender_bcc_maps, as recipients.
  Result<std::vector<mail::Recipient>> copies(const std::string& to);
  const std::string& always_copy() const { return always_copy_; }

  // --- of headers
  // local_header_rewrite_clients. The first does not wait: a table that has to be waited for may.
  bool may_rewrite_headers(const Peer& client) {
    const Result<bool> rewrites = rewrites_headers(client);
    return !rewrites || *rewrites;
  }
  Result<bool> rewrites_headers(const Peer& client);
  Result<std::string> in_header(const std::string& address, Role role);

 private:
  using Classes = unsigned; // bits of Class
  struct Rewriter {
    maps::MapList maps;
    route::AddressRules rules;
    Classes classes = 0;
  };
  Result<std::string> canonical(Rewriter& with, std::string address);
  Result<std::string> rewritten(std::string address, Role role, bool header);
  Result<std::vector<std::string>> aliases(const std::string& address);
  Result<void> add_aliases(const mail::Recipient& of, std::vector<mail::Recipient>& out);
  Result<bool> has(maps::MapList& maps, const std::string& address, bool is_local);
  Result<bool> is_local(std::string_view domain);
  bool is_own(const std::string& address) const;

  std::string origin_, mydomain_;
  std::string delimiters_;
  std::string always_copy_;
  std::vector<std::string> own_addresses_;
  Rewriter canonical_, sender_canonical_, recipient_canonical_, alias_;
  maps::MapList relocated_, sender_copies_, recipient_copies_, local_recipients_, relay_recipients_;
  std::optional<maps::MatchList> alias_domains_, local_domains_, relay_domains_;
  std::size_t expansion_limit_ = 1000, recursion_limit_ = 1000, length_limit_ = 1000;
  int local_code_ = 550, relay_code_ = 550, alias_code_ = 550;
  struct HeaderClient {
    enum class Kind { interfaces, networks, authenticated, certificate, table } kind;
    std::unique_ptr<maps::MatchList> list; // of Kind::table
  };
  std::vector<HeaderClient> header_clients_;
};

} // namespace postrider::smtpd
