// SPDX-License-Identifier: MIT
// Which addresses exist, by main.cf's tables: whose domain is ours and who is not in its table
// (relay_recipient_maps, local_recipient_maps, virtual_alias_maps), who has moved (relocated_maps);
// and for which clients headers are rewritten. What addresses become is route::Rewriter's business.
// Functions that return a Result are questions for maps::ask(); their Errors are trouble with a
// table: 451, never a verdict. Owned by Config; one thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "maps/map.hpp"
#include "maps/match_list.hpp"
#include "peer.hpp"
#include "route/rewriter.hpp"
#include "smtp/command.hpp"

namespace postrider::config {
class Settings;
}

namespace postrider::smtpd {

class Addresses {
 public:
  // Error config: says which parameter.
  static Result<std::shared_ptr<Addresses>> open(const config::Settings& settings);

  route::Rewriter& rewriter() { return rewriter_; }

  using Role = route::Rewriter::Role;
  // Why nobody has this address: it is not in the tables of its class (reject_unlisted_sender,
  // reject_unlisted_recipient), or its owner has moved. nullopt: nothing is known against it.
  Result<std::optional<smtp::Refusal>> validity(const std::string& address, Role role);

  // local_header_rewrite_clients. The first does not wait: a table that has to be waited for may.
  bool may_rewrite_headers(const Peer& client) {
    const Result<bool> rewrites = rewrites_headers(client);
    return !rewrites || *rewrites;
  }
  Result<bool> rewrites_headers(const Peer& client);

 private:
  explicit Addresses(route::Rewriter rewriter) : rewriter_(std::move(rewriter)) {}
  Result<bool> has(maps::MapList& maps, const std::string& address, bool is_local);

  route::Rewriter rewriter_;
  std::string delimiters_;
  maps::MapList relocated_, local_recipients_, relay_recipients_;
  maps::MapList client_certificates_; // relay_clientcerts
  maps::MatchList alias_domains_, relay_domains_;
  int local_code_ = 550, relay_code_ = 550, alias_code_ = 550;
  struct HeaderClient {
    enum class Kind { interfaces, networks, authenticated, certificate, listed_certificate, table };
    Kind kind;
    std::unique_ptr<maps::MatchList> list; // of Kind::table
  };
  std::vector<HeaderClient> header_clients_;
};

} // namespace postrider::smtpd
